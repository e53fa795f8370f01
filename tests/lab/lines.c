/* Watches simulated GPIO lines from outside of every process that drives them, and plays the emergency stop's switch.

   lines OUT SWITCH SWITCH_VALUE SWITCH_PULL NAME=PATH...

   OUT    takes one line for each change: CLOCK_MONOTONIC in seconds, name, level. "gap" with its length in
          seconds where it did not look for longer than 5 ms.
   SWITCH a file of one byte: 'c' while the switch is closed (to ground), 'o' while it is open. Whoever asks for a
          pull-up on a simulated line changes its level, which a closed switch would not allow: it is put back at once. */

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static int level(int file)
{
	char text[8] = "";
	return pread(file, text, sizeof text - 1, 0) > 0 && text[0] == '1';
}

static int opened(const char *path, int flags)
{
	int file = open(path, flags, 0644);
	if (file < 0) {
		perror(path);
		exit(1);
	}
	return file;
}

int main(int count, char **words)
{
	enum { MOST = 16 };
	int files[MOST], last[MOST], lines = 0;
	char *names[MOST];
	struct sched_param priority = { .sched_priority = 80 };
	struct timespec pause = { 0, 100000 };
	double before;

	if (count < 6 || count - 5 > MOST)
		return 2;
	int out = opened(words[1], O_WRONLY | O_CREAT | O_APPEND);
	int hand = opened(words[2], O_RDONLY), value = opened(words[3], O_RDONLY), pull = opened(words[4], O_WRONLY);
	for (int i = 5; i < count; i++, lines++) {
		char *path = strchr(words[i], '=');
		if (!path)
			return 2;
		*path = 0;
		names[lines] = words[i];
		files[lines] = opened(path + 1, O_RDONLY);
		last[lines] = -1;
	}
	sched_setscheduler(0, SCHED_FIFO, &priority);
	mlockall(MCL_CURRENT | MCL_FUTURE);
	for (before = now();;) {
		char closed = 'c', text[96];
		double stamp = now();
		if (stamp - before > 0.005)
			dprintf(out, "%.6f gap %.6f\n", stamp, stamp - before);
		before = stamp;
		pread(hand, &closed, 1, 0);
		if (level(value) != (closed == 'o')) {
			const char *want = closed == 'o' ? "pull-up" : "pull-down";
			pwrite(pull, want, strlen(want), 0);
		}
		for (int i = 0; i < lines; i++) {
			double when = now();
			int found = level(files[i]);
			if (found != last[i]) {
				last[i] = found;
				int size = snprintf(text, sizeof text, "%.6f %s %d\n", when, names[i], found);
				if (write(out, text, size) != size)
					return 1;
			}
		}
		nanosleep(&pause, NULL);
	}
}
