/*
 * Work without end, each kind leaving its progress in a file, so that a guest that was saved, moved or squeezed can
 * prove that nothing it did was lost. Counter and log carry a chain of numbers, each computed from the one before.
 *
 *   witness counter PROGRESS        counts as fast as it can, with what CPU time others leave
 *   witness timer PROGRESS          counts the ticks of a timer, ten in a second
 *   witness log PROGRESS LOG        appends a line to LOG and flushes it to the disk, over and over
 *   witness look FOLDER NAME STEPS...  waits until each work has gone on by so many steps from where it is, and prints
 *                                   of each NAME where it was, where it is, and the chain's value there; FOLDER has of
 *                                   each NAME its PROGRESS (or what ping printed), NAME.pid and NAME.err
 *   witness check LOG               reads LOG from its first line to its last, and prints how many there are
 *   witness fill FILE MIB SEED      writes so many MiB of numbers, each computed from the one before
 *   witness verify FILE SEED        reads them again, and prints how many MiB there are
 *
 * PROGRESS always holds one line of a fixed length: how far it is, and the chain's value there.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum { FACTOR = 75, ADDEND = 74, MODULUS = 65537, FIRST = 1, REPORT_EVERY = 10000, TICK_MS = 100, LOG_MS = 50,
       LOOK_MS = 20, WORKS = 8, MIB = 1 << 20, BLOCK = 1 << 16 };

static void die(const char *what)
{
	fprintf(stderr, "witness: %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint32_t next(uint32_t value)
{
	return (value * FACTOR + ADDEND) % MODULUS;
}

static int open_progress(const char *path)
{
	int file = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	if (file < 0)
		die(path);
	return file;
}

static void report(int file, uint64_t count, uint32_t value)
{
	char line[40];
	int size = snprintf(line, sizeof line, "%020" PRIu64 " %010" PRIu32 "\n", count, value);
	if (pwrite(file, line, size, 0) != size)
		die("progress");
}

static void pause_ms(long milliseconds)
{
	struct timespec time = { .tv_nsec = milliseconds * 1000000 };
	nanosleep(&time, NULL);
}

static void counter(const char *progress)
{
	int file = open_progress(progress);
	uint32_t value = FIRST;
	if (nice(19) < 0)
		die("nice");
	for (uint64_t count = 1;; count++) {
		value = next(value);
		if (count % REPORT_EVERY == 0)
			report(file, count, value);
	}
}

static void timer(const char *progress)
{
	int file = open_progress(progress), timer = timerfd_create(CLOCK_MONOTONIC, 0);
	struct itimerspec every = { .it_interval = { .tv_nsec = TICK_MS * 1000000L }, .it_value = { .tv_nsec = 1 } };
	uint64_t count = 0, ticks;
	if (timer < 0 || timerfd_settime(timer, 0, &every, NULL) < 0)
		die("timer");
	/* Ticks that were missed come together: one more each time that it fired, so that each report is one. */
	while (read(timer, &ticks, sizeof ticks) == sizeof ticks)
		report(file, ++count, 0);
	die("timer");
}

static void append(const char *progress, const char *path)
{
	int file = open_progress(progress), log = open(path, O_WRONLY | O_CREAT | O_APPEND, 0644);
	uint32_t value = FIRST;
	if (log < 0)
		die(path);
	for (uint64_t count = 1;; count++) {
		value = next(value);
		if (dprintf(log, "%" PRIu64 " %" PRIu32 "\n", count, value) < 0 || fsync(log) < 0)
			die(path);
		report(file, count, value);
		pause_ms(LOG_MS);
	}
}

struct work { char progress[128], pid[128], errors[128]; const char *name; uint64_t steps, first, last, value; int begun; };

/* How far a work is, at `last`; 0 if that cannot be told yet. */
static int progress(struct work *work)
{
	char line[256];
	FILE *file = fopen(work->progress, "r");
	uint64_t answers = 0;
	int told = 0;
	if (!file)
		return 0;
	while (fgets(line, sizeof line, file))
		if (sscanf(line, "%" SCNu64 " %" SCNu64 "\n", &work->last, &work->value) == 2 && strlen(line) == 32)
			told = 1;
		else if (strstr(line, " seq=") && strchr(line, '\n'))
			answers++;
	fclose(file);
	if (answers > 0)
		work->last = answers;
	return told || answers > 0;
}

static void must_run(const struct work *work)
{
	char line[256] = "";
	FILE *file = fopen(work->pid, "r");
	int pid = 0;
	if (file && fscanf(file, "%d", &pid) == 1 && kill(pid, 0) == 0) {
		fclose(file);
		return;
	}
	printf("%s has ended:\n", work->name);
	if ((file = fopen(work->errors, "r")))
		while (fgets(line, sizeof line, file))
			fputs(line, stdout);
	exit(1);
}

static void look(const char *folder, char **words)
{
	static struct work works[WORKS];
	int count = 0, waiting;
	for (; words[0] && words[1] && count < WORKS; words += 2, count++) {
		struct work *work = &works[count];
		work->name = words[0];
		work->steps = strtoull(words[1], NULL, 10);
		snprintf(work->progress, sizeof work->progress, "%s/%s", folder, words[0]);
		snprintf(work->pid, sizeof work->pid, "%s/%s.pid", folder, words[0]);
		snprintf(work->errors, sizeof work->errors, "%s/%s.err", folder, words[0]);
	}
	if (words[0]) {
		fputs("witness: a work without its steps, or too many of them\n", stderr);
		exit(2);
	}
	do {
		waiting = 0;
		for (struct work *work = works; work < works + count; work++) {
			if (work->begun && work->last - work->first >= work->steps)
				continue;
			must_run(work);
			if (progress(work) && !work->begun) {
				work->begun = 1;
				work->first = work->last;
			}
			waiting += !work->begun || work->last - work->first < work->steps;
		}
		if (waiting)
			pause_ms(LOOK_MS);
	} while (waiting);
	for (struct work *work = works; work < works + count; work++)
		printf("%s %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", work->name, work->first, work->last, work->value);
}

static void check(const char *path)
{
	FILE *log = fopen(path, "r");
	char line[64];
	uint64_t count = 0;
	uint32_t value = FIRST;
	if (!log)
		die(path);
	while (fgets(line, sizeof line, log)) {
		char wanted[64];
		value = next(value);
		snprintf(wanted, sizeof wanted, "%" PRIu64 " %" PRIu32 "\n", ++count, value);
		if (strcmp(line, wanted)) {
			printf("line %" PRIu64 " is %s, not %s", count, line, wanted);
			exit(1);
		}
	}
	if (ferror(log))
		die(path);
	printf("%" PRIu64 "\n", count);
}

/* Knuth's linear congruential generator (MMIX): every page of it is another. */
static void numbers(uint64_t *block, size_t length, uint64_t *state)
{
	for (size_t at = 0; at < length; at++)
		block[at] = *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
}

static uint64_t block[BLOCK / sizeof(uint64_t)], wanted[BLOCK / sizeof(uint64_t)];

static void fill(const char *path, uint64_t mib, uint64_t seed)
{
	int file = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	if (file < 0)
		die(path);
	for (uint64_t left = mib * (MIB / BLOCK); left > 0; left--) {
		numbers(block, BLOCK / sizeof(uint64_t), &seed);
		if (write(file, block, BLOCK) != BLOCK)
			die(path);
	}
	printf("%" PRIu64 "\n", mib);
}

static void verify(const char *path, uint64_t seed)
{
	int file = open(path, O_RDONLY);
	uint64_t blocks = 0;
	ssize_t size;
	if (file < 0)
		die(path);
	while ((size = read(file, block, BLOCK)) == BLOCK) {
		numbers(wanted, BLOCK / sizeof(uint64_t), &seed);
		for (size_t at = 0; at < BLOCK / sizeof(uint64_t); at++)
			if (block[at] != wanted[at]) {
				printf("at %#" PRIx64 " is %016" PRIx64 ", not %016" PRIx64 "\n",
				       (blocks * BLOCK + at * 8), block[at], wanted[at]);
				exit(1);
			}
		blocks++;
	}
	if (size != 0)
		die(path);
	printf("%" PRIu64 "\n", blocks / (MIB / BLOCK));
}

int witness_main(int argc, char **argv)
{
	const char *what = argc > 2 ? argv[1] : "";
	if (!strcmp(what, "counter"))
		counter(argv[2]);
	else if (!strcmp(what, "timer"))
		timer(argv[2]);
	else if (!strcmp(what, "log") && argc > 3)
		append(argv[2], argv[3]);
	else if (!strcmp(what, "look") && argc > 4)
		look(argv[2], argv + 3);
	else if (!strcmp(what, "check"))
		check(argv[2]);
	else if (!strcmp(what, "fill") && argc > 4)
		fill(argv[2], strtoull(argv[3], NULL, 10), strtoull(argv[4], NULL, 10));
	else if (!strcmp(what, "verify") && argc > 3)
		verify(argv[2], strtoull(argv[3], NULL, 10));
	else {
		fputs("usage: witness counter|timer PROGRESS | log PROGRESS LOG"
		      " | look FOLDER NAME STEPS... | check LOG"
		      " | fill FILE MIB SEED | verify FILE SEED\n", stderr);
		return 2;
	}
	return 0;
}
