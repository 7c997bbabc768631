# Sourced by the recipes of QEMUs with patches: builds one that is no more than the devices of `devices`, and is left in
# the folder of the build; `deliver FOLDER` puts what was built below a folder, with its firmware.
# The libraries' .pc files say /usr; all of them lie below one folder.
mkdir system
for part in "$SRC_GLIB" "$SRC_PCRE2" "$SRC_PIXMAN" "$SRC_PNG" "$SRC_ZLIB"; do cp -r "$part/usr" system/; done
export PKG_CONFIG_SYSROOT_DIR="$WORK/system"
PKG_CONFIG_LIBDIR="$(echo "$WORK"/system/usr/lib/*/pkgconfig):$WORK/system/usr/share/pkgconfig"
export PKG_CONFIG_LIBDIR
cp -r "$SRC_DTC" "$SRC_QEMU/subprojects/dtc"
cd "$SRC_QEMU"
# Only QEMU's own tests need it, and the build must not ask the network.
sed -i '/^pycotap/d' pythondeps.toml
cp "$SRC_DEVICES" configs/devices/ppc64-softmmu/ours.mak
mkdir build
cd build
../configure --python="$PYTHON" --prefix=/usr --cc="ccache gcc" --extra-cflags="-ffile-prefix-map=$SRC_QEMU=qemu" \
  --target-list=ppc64-softmmu --with-devices-ppc64=ours --without-default-features --without-default-devices \
  --static --enable-system --enable-tcg --enable-pixman --enable-png --enable-fdt=internal -Ddtc:tests=false \
  -Ddtc:static-build=true --disable-install-blobs --disable-werror --disable-debug-info --disable-download
ninja -j"$JOBS" qemu-system-ppc64
deliver() {
  mkdir -p "$1/usr/bin" "$1/usr/share/qemu"
  strip -o "$1/usr/bin/qemu-system-ppc64" qemu-system-ppc64
  for file in openbios-ppc slof.bin vof.bin skiboot.lid; do cp "$SRC_DATA/usr/share/qemu/$file" "$1/usr/share/qemu/"; done
}
