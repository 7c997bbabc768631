/*
 * First process of dom0 and of a domU. Console 0 carries the kernel's log and a person's shell; the channel named on the
 * kernel command line as testbed.command=<tty> carries the harness's commands.
 *
 * In C because under KVM-PR each process that a shell starts costs a tenth of a second: a script with the same lines
 * took a third of the whole boot of a domU.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

enum { AGAIN_US = 50000 };

static void complain(const char *what)
{
	fprintf(stderr, "init: %s: %s\n", what, strerror(errno));
}

static void mount_all(void)
{
	static const struct { const char *type, *place; int needed; } all[] = {
		{ "proc", "/proc", 1 },	     { "sysfs", "/sys", 1 },  { "devtmpfs", "/dev", 0 },
		{ "devpts", "/dev/pts", 1 }, { "tmpfs", "/dev/shm", 1 }, { "tmpfs", "/run", 1 },
		{ "tmpfs", "/tmp", 1 },	     { "debugfs", "/sys/kernel/debug", 0 },
	};
	for (unsigned i = 0; i < sizeof all / sizeof *all; i++) {
		mkdir(all[i].place, 0755);
		if (mount(all[i].type, all[i].place, all[i].type, 0, NULL) && all[i].needed)
			complain(all[i].place);
	}
	mkdir("/dev/virtio-ports", 0755);
	if (symlink("/proc/self/fd", "/dev/fd") || symlink("/proc/self/fd/0", "/dev/stdin"))
		complain("/dev/fd");
}

static void loopback_up(void)
{
	struct ifreq loopback = { .ifr_name = "lo", .ifr_flags = IFF_UP };
	int net = socket(AF_INET, SOCK_DGRAM, 0);
	if (net < 0 || ioctl(net, SIOCSIFFLAGS, &loopback))
		complain("lo");
	close(net);
}

/* The value of NAME= among the words of the kernel command line, or NULL. */
static char *word(char *line, const char *name)
{
	for (char *rest = line, *found; (found = strstr(rest, name)); rest = found + 1)
		if (found == line || found[-1] == ' ')
			return strndup(found + strlen(name), strcspn(found + strlen(name), " \n"));
	return NULL;
}

static void exec_shell(const char *as)
{
	execl("/bin/sh", as, NULL);
	complain("/bin/sh");
	_exit(127);
}

/*
 * Hands what comes in to a shell, and to a new one if that ended: a shell whose input is a terminal would prompt and
 * edit lines. Never returns.
 */
static void serve(const char *path)
{
	int channel = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC), ends[2], input = -1;
	static const char hello[] = "testbed: channel open\n";
	static char block[4096];
	struct termios raw;
	if (channel < 0) {
		complain(path);
		_exit(1);
	}
	/* Raw and without echo: what goes out is as it was printed. A virtio port is no terminal. */
	if (tcgetattr(channel, &raw) == 0) {
		cfmakeraw(&raw);
		tcsetattr(channel, TCSANOW, &raw);
	}
	signal(SIGPIPE, SIG_IGN);
	if (write(channel, hello, sizeof hello - 1) < 0)
		complain(path);
	for (;;) {
		ssize_t size = read(channel, block, sizeof block), done = 0;
		/* Nobody has opened the other end yet. */
		if (size <= 0) {
			usleep(AGAIN_US);
			continue;
		}
		while (done < size) {
			ssize_t part = input < 0 ? -1 : write(input, block + done, size - done);
			if (part >= 0) {
				done += part;
				continue;
			}
			if (input >= 0) {
				close(input);
				while (waitpid(-1, NULL, WNOHANG) > 0)
					;
			}
			pid_t shell;
			if (pipe2(ends, O_CLOEXEC) || (shell = fork()) < 0) {
				complain("channel");
				_exit(1);
			}
			if (shell == 0) {
				setsid();
				signal(SIGPIPE, SIG_DFL);
				dup2(ends[0], 0);
				dup2(channel, 1);
				dup2(channel, 2);
				exec_shell("sh");
			}
			close(ends[0]);
			input = ends[1];
		}
	}
}

/* A person's shell on the console's own terminal, which /dev/console only stands for: so that Ctrl-C reaches it. */
static pid_t start_console(void)
{
	char name[64] = "", path[80];
	int file = open("/sys/class/tty/console/active", O_RDONLY);
	ssize_t size = file < 0 ? 0 : read(file, name, sizeof name - 1);
	pid_t child = fork();
	if (child == 0) {
		sigset_t none;
		sigemptyset(&none);
		sigprocmask(SIG_SETMASK, &none, NULL);
		setsid();
		name[size > 0 ? strcspn(name, "\n") : 0] = '\0';
		snprintf(path, sizeof path, "/dev/%s", strrchr(name, ' ') ? strrchr(name, ' ') + 1 : name);
		int terminal = open(path, O_RDWR);
		if (terminal >= 0) {
			ioctl(terminal, TIOCSCTTY, 1);
			for (int number = 0; number < 3; number++)
				dup2(terminal, number);
			if (terminal > 2)
				close(terminal);
		}
		exec_shell("-sh");
	}
	if (file >= 0)
		close(file);
	return child;
}

static void run_virtio_ports(const char *name)
{
	pid_t child = fork();
	if (child == 0) {
		execl("/usr/sbin/virtio-ports", "virtio-ports", name, NULL);
		complain("virtio-ports");
		_exit(127);
	}
	waitpid(child, NULL, 0);
}

int init_main(int count, char **words)
{
	static const char ports[] = "virtio-ports/";
	static char line[4096];
	struct utsname kernel;
	sigset_t wanted;
	pid_t console;

	(void)count, (void)words;
	/* What busybox's poweroff, reboot and halt ask of process 1, and the kernel's orderly shutdown through them. */
	sigemptyset(&wanted);
	sigaddset(&wanted, SIGUSR1);
	sigaddset(&wanted, SIGUSR2);
	sigaddset(&wanted, SIGTERM);
	sigaddset(&wanted, SIGCHLD);
	mount_all();
	loopback_up();
	setenv("PATH", "/usr/sbin:/usr/bin:/sbin:/bin", 1);
	setenv("HOME", "/root", 1);
	setenv("TERM", "vt100", 1);

	int file = open("/proc/cmdline", O_RDONLY | O_CLOEXEC);
	if (file < 0 || read(file, line, sizeof line - 1) < 0)
		complain("/proc/cmdline");
	close(file);
	char *channel = word(line, "testbed.command="), *hostname = word(line, "testbed.hostname=");
	if (hostname && sethostname(hostname, strlen(hostname)))
		complain(hostname);
	if (channel) {
		char path[256];
		snprintf(path, sizeof path, "/dev/%s", channel);
		if (!strncmp(channel, ports, sizeof ports - 1))
			run_virtio_ports(channel + sizeof ports - 1);
		if (access(path, F_OK) == 0 && fork() == 0)
			serve(path);
	}
	uname(&kernel);
	printf("testbed: %s %s %s\n", kernel.nodename, kernel.release, kernel.machine);
	fflush(stdout);

	sigprocmask(SIG_BLOCK, &wanted, NULL);
	console = start_console();
	for (;;) {
		switch (sigwaitinfo(&wanted, NULL)) {
		case SIGUSR2:
			sync();
			reboot(RB_POWER_OFF);
			break;
		case SIGTERM:
			sync();
			reboot(RB_AUTOBOOT);
			break;
		case SIGUSR1:
			sync();
			reboot(RB_HALT_SYSTEM);
			break;
		case SIGCHLD:
			for (pid_t ended; (ended = waitpid(-1, NULL, WNOHANG)) > 0;)
				if (ended == console) {
					/* A person who types `exit` gets a new shell; a console without input must
					   not turn this into a busy loop. */
					sleep(1);
					console = start_console();
				}
			break;
		}
	}
}
