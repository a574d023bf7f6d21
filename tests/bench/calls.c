/* Makes a known number of system calls: calls open|setxattr|listen COUNT [THREADS [PAUSE_US [RATE]]]
 *
 * COUNT is split among the threads. open: /dev/null for reading, and close, which is not recorded: one event each.
 * setxattr: of a file that is not there, so that each fails; hardly anybody else makes this call. listen: on a socket
 * that listens already, which is told and costs the kernel least. PAUSE_US is slept after every 100 calls of a thread;
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
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

enum { THREADS_MAX = 64, BETWEEN_PAUSES = 100 };

static int setting, listening;
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
		int fd = open("/dev/null", O_RDONLY);

		if (fd < 0 || close(fd))
			abort();
	}
	return NULL;
}

int main(int argc, char **argv)
{
	long count = argc > 2 ? atol(argv[2]) : 0;
	long shares[THREADS_MAX];
	pthread_t ids[THREADS_MAX];
	struct timespec after;

	threads = argc > 3 ? atol(argv[3]) : 1;
	if (count <= 0 || threads < 1 || threads > THREADS_MAX ||
	    (strcmp(argv[1], "open") && strcmp(argv[1], "setxattr") && strcmp(argv[1], "listen"))) {
		fprintf(stderr, "usage: calls open|setxattr|listen COUNT [THREADS [PAUSE_US [RATE]]]\n");
		return 2;
	}
	pause_us = argc > 4 ? atol(argv[4]) : 0;
	rate = argc > 5 ? atol(argv[5]) : 0;
	listening = !strcmp(argv[1], "listen");
	setting = !strcmp(argv[1], "setxattr");
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
