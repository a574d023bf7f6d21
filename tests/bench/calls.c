/* Makes a known number of system calls: calls open|setxattr|listen|files|execs COUNT [THREADS [PAUSE_US [RATE]]]
 *
 * COUNT is split among the threads. open: /dev/null for reading, and close, which is not recorded: one event each.
 * setxattr: of a file that is not there, so that each fails; hardly anybody else makes this call. listen: on a socket
 * that listens already, which is told and costs the kernel least. files: each open of one of 1,024 files that lie six folders down in the working
 * directory, for reading, and close. execs: vfork, exec of this very program, exit: three events each. PAUSE_US is slept after every 100 calls of a thread;
 * with RATE all threads together make no more than so many calls a second. Prints how many calls were made, and the
 * seconds that it took.
 */
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

enum { THREADS_MAX = 64, BETWEEN_PAUSES = 100, FILES = 1024, NAME_MAX_BYTES = 160 };

static int setting, listening, filing, beginning;
static char names[FILES][NAME_MAX_BYTES];
static long pause_us, rate, threads;
static struct timespec before;

/* Waits until a thread that has made so many calls may make more. */
static void wait_for_turn(long made)
{
	long due_ns = (long)((double)made * (double)threads * 1e9 / (double)rate);
	struct timespec due = { before.tv_sec + (before.tv_nsec + due_ns) / 1000000000L,
				(before.tv_nsec + due_ns) % 1000000000L };

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL))
		;
}

/* A socket that nobody but this host can reach. */
static int listening_socket(void)
{
	struct sockaddr_in local = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&local, sizeof(local)))
		abort();
	return fd;
}

/* Files at paths as builds have them. */
static void make_files(void)
{
	static const char *folders[] = { "usr", "share", "a-package-of-some-name", "lib", "python3.11", "site-packages" };
	char at[NAME_MAX_BYTES] = ".";
	int length = 1;

	for (unsigned i = 0; i < sizeof(folders) / sizeof(*folders); i++) {
		length += snprintf(at + length, sizeof(at) - length, "/%s", folders[i]);
		mkdir(at, 0755);
	}
	for (int i = 0; i < FILES; i++) {
		snprintf(names[i], sizeof(names[i]), "%s/module_number_%d.py", at, i);
		int fd = open(names[i], O_WRONLY | O_CREAT, 0644);

		if (fd < 0 || close(fd))
			abort();
	}
}

static void begin_and_end(void)
{
	char *const none[] = { "calls", NULL }, *const nothing[] = { NULL };
	pid_t child = vfork();
	int status;

	if (!child) {
		execve("/proc/self/exe", none, nothing);
		_exit(127);
	}
	if (child < 0 || waitpid(child, &status, 0) < 0 || status)
		abort();
}

static void *work(void *count)
{
	int listener = listening ? listening_socket() : -1;

	for (long all = *(long *)count, left = all; left > 0; left--) {
		if (pause_us && left % BETWEEN_PAUSES == 0)
			usleep(pause_us);
		if (rate && (all - left) % BETWEEN_PAUSES == 0)
			wait_for_turn(all - left);
		if (listening) {
			if (listen(listener, 1))
				abort();
			continue;
		}
		if (setting) {
			if (!setxattr("/nowhere/file", "user.name", "value", 5, 0))
				abort();
			continue;
		}
		if (beginning) {
			begin_and_end();
			continue;
		}
		int fd = open(filing ? names[left % FILES] : "/dev/null", O_RDONLY);

		if (fd < 0 || close(fd))
			abort();
	}
	return NULL;
}

int main(int argc, char **argv)
{
	static const char *const works[] = { "open", "setxattr", "listen", "files", "execs" };
	long count = argc > 2 ? atol(argv[2]) : 0;
	int known = 0;
	long shares[THREADS_MAX];
	pthread_t ids[THREADS_MAX];
	struct timespec after;

	/* As begin_and_end has it. */
	if (argc == 1)
		return 0;
	for (unsigned i = 0; i < sizeof(works) / sizeof(*works); i++)
		known |= !strcmp(argv[1], works[i]);
	threads = argc > 3 ? atol(argv[3]) : 1;
	if (count <= 0 || threads < 1 || threads > THREADS_MAX || !known) {
		fprintf(stderr, "usage: calls open|setxattr|listen|files|execs COUNT [THREADS [PAUSE_US [RATE]]]\n");
		return 2;
	}
	pause_us = argc > 4 ? atol(argv[4]) : 0;
	rate = argc > 5 ? atol(argv[5]) : 0;
	listening = !strcmp(argv[1], "listen");
	setting = !strcmp(argv[1], "setxattr");
	filing = !strcmp(argv[1], "files");
	beginning = !strcmp(argv[1], "execs");
	if (filing)
		make_files();
	clock_gettime(CLOCK_MONOTONIC, &before);
	for (long i = 0; i < threads; i++) {
		shares[i] = count / threads + (i < count % threads);
		if (pthread_create(&ids[i], NULL, work, &shares[i]))
			abort();
	}
	for (long i = 0; i < threads; i++)
		pthread_join(ids[i], NULL);
	clock_gettime(CLOCK_MONOTONIC, &after);
	printf("%ld %.3f\n", count, (double)(after.tv_sec - before.tv_sec) + (double)(after.tv_nsec - before.tv_nsec) / 1e9);
	return 0;
}
