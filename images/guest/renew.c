/*
 * renew SECONDS SEED: what a guest needs that was resumed from a saved state. Sets the clock (seconds since 1970), mixes the
 * seed (hexadecimal, at most 64 bytes) into the kernel's random numbers and has it draw from them anew at once: guests
 * that were resumed from one state would draw the same numbers otherwise.
 */
#include <fcntl.h>
#include <linux/random.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/time.h>
#include <unistd.h>

static int fail(const char *what)
{
	perror(what);
	return 1;
}

int renew_main(int count, char **words)
{
	struct {
		struct rand_pool_info head;
		unsigned char bytes[64];
	} seed;
	int file, length = 0;

	if (count != 3)
		return fputs("usage: renew SECONDS SEED\n", stderr), 2;
	while (length < (int)sizeof(seed.bytes) && sscanf(words[2] + 2 * length, "%2hhx", &seed.bytes[length]) == 1)
		length++;
	if (length == 0 || words[2][2 * length] != '\0')
		return fputs("renew: the seed is no hexadecimal number of at most 64 bytes\n", stderr), 2;
	seed.head.entropy_count = length * 8;
	seed.head.buf_size = length;
	file = open("/dev/random", O_RDWR);
	if (file < 0 || ioctl(file, RNDADDENTROPY, &seed) || ioctl(file, RNDRESEEDCRNG))
		return fail("renew: /dev/random");
	if (settimeofday(&(struct timeval){ .tv_sec = atoll(words[1]) }, NULL))
		return fail("renew: the clock");
	return 0;
}
