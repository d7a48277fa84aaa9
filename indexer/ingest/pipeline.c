/* pipeline.c: see pipeline.h. Decoding goes before reading: it frees the bytes of a file and moves the front of the
 * caller's window. Tried and dropped: one step for both, which decodes what a look at the catalog would have spared. */
#include "indexer/ingest/pipeline.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "indexer/walk/path.h"
#include "schema/base/clock.h"
#include "schema/base/memory.h"
#include "schema/catalog/contents.h"

#include "schema/base/banned.h"

/* More than any photograph has; what is larger is named like one by mistake. */
static const int64_t file_most = (int64_t)1 << 30;
enum { READ_ATTEMPTS = 3 };
/* Kernels stamp files with the time of their last tick, 10 ms at the coarsest: two changes within one have the same time. */
static const int64_t tick_ns = 20000000;

struct queue {
	struct job *first, **last;
};

struct pipeline {
	struct pipeline_options options;
	pthread_mutex_t lock;
	pthread_cond_t work, done;
	struct queue reads, decodes;
	bool stop;
	size_t finished, noticed; /* jobs finished, and how many of them pipeline_wait has told of */
	struct pipeline_times times;
	pthread_t *threads;
	size_t thread_count;
};

/* --- the two steps --- */

/* Reads st->st_size bytes; *whole false: the file is no longer what st says. */
static enum status read_bytes(int fd, const struct stat *st, struct job *job, bool *whole, struct err *err)
{
	struct stat after;
	size_t size = (size_t)st->st_size, n = 0;

	job_drop_bytes(job);
	job->bytes = malloc(size + 1); /* one more, to see whether it has grown */
	if (!job->bytes)
		return err_memory(err, "a photograph");
	while (n <= size) {
		ssize_t got = pread(fd, job->bytes + n, size + 1 - n, (off_t)n);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return err_set(err, STATUS_IO, "cannot read it: %s", strerror(errno));
		if (got == 0)
			break;
		n += (size_t)got;
	}
	*whole = n == size && fstat(fd, &after) == 0 && after.st_size == st->st_size && file_mtime(&after) == file_mtime(st) &&
		 file_ctime(&after) == file_ctime(st);
	return STATUS_OK;
}

static int64_t trusted_ctime(const struct stat *st)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	int64_t age = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec - file_ctime(st);
	/* A time to come is another machine's clock, or ours has been set back: always reading again would not help. */
	return age >= 0 && age < tick_ns ? -1 : file_ctime(st);
}

static enum status read_file(const struct pipeline_options *options, struct job *job, struct err *err)
{
	/* O_NONBLOCK: a pipe that has taken the file's place must not hold us up. */
	int fd = open(job->path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK | (options->follow ? 0 : O_NOFOLLOW));
	struct stat st;
	bool whole = false;
	enum status status = STATUS_OK;

	if (fd < 0)
		return err_set(err, errno == ENOENT || errno == ENOTDIR ? STATUS_NOT_FOUND : STATUS_IO, "cannot open it: %s",
			       strerror(errno));
	for (int attempt = 0; attempt < READ_ATTEMPTS && !whole && status == STATUS_OK; attempt++) {
		if (fstat(fd, &st) != 0)
			status = err_set(err, STATUS_IO, "cannot read it: %s", strerror(errno));
		else if (!S_ISREG(st.st_mode))
			status = err_set(err, STATUS_IO, "it is not a regular file");
		else if (st.st_size > file_most)
			status = err_set(err, STATUS_IO, "it is larger than a photograph can be (%lld bytes)", (long long)st.st_size);
		else
			status = read_bytes(fd, &st, job, &whole, err);
	}
	if (status == STATUS_OK && !whole)
		status = err_set(err, STATUS_IO, "it changes while it is read; hint: index again when it is complete");
	close(fd);
	if (status == STATUS_OK) {
		job->size = st.st_size;
		job->mtime_ns = file_mtime(&st);
		job->ctime_ns = trusted_ctime(&st);
	}
	return status;
}

static void run_read(struct pipeline *p, struct job *job)
{
	job->hashed = false;
	job->info = (struct image_info){0};
	probe_release(&job->probe);
	job->status = read_file(&p->options, job, &job->err);
	if (job->status != STATUS_OK) {
		job_drop_bytes(job);
		return;
	}
	catalog_content_hash(job->bytes, (size_t)job->size, job->hash);
	job->hashed = true;
	struct image_said said;
	job->status = image_probe_said(job->bytes, (size_t)job->size, &job->info, &said, &job->err);
	if (job->status == STATUS_OK)
		facts_read(&job->probe, &said, job->path, job->sidecars, job->sidecar_count);
	else
		job_drop_bytes(job);
	image_said_release(&said);
}

/* Returns the seconds that decoding took; the rest of the step is resizing. */
static double run_decode(const struct pipeline_options *options, struct job *job)
{
	struct image image = {0};
	size_t side = options->side, least = options->exact ? 0 : image_enough(side);
	double start = clock_now();

	job->status = image_decode(job->bytes, (size_t)job->size, least, options->pixels_most, &image, &job->err);
	double decoded = clock_now();
	if (job->status == STATUS_OK && !job->rgb && !(job->rgb = mem_array(mem_product(side, side), 3)))
		job->status = err_memory(&job->err, "a photograph");
	if (job->status == STATUS_OK)
		job->status = image_crop(&image, side, job->rgb, &job->err);
	if (job->status == STATUS_OK)
		job->status = image_hash(&image, &job->image_hash, &job->err);
	job->cut_short = image.cut_short;
	image_release(&image);
	job_drop_bytes(job);
	return decoded - start;
}

/* --- threads --- */

static void queue_put(struct queue *queue, struct job *job)
{
	job->next = NULL;
	*queue->last = job;
	queue->last = &job->next;
}

static struct job *queue_take(struct queue *queue)
{
	struct job *job = queue->first;

	if (job && !(queue->first = job->next))
		queue->last = &queue->first;
	return job;
}

static void *work(void *context)
{
	struct pipeline *p = context;

	pthread_mutex_lock(&p->lock);
	while (!p->stop) {
		struct job *job = queue_take(&p->decodes);
		if (!job)
			job = queue_take(&p->reads);
		if (!job) {
			pthread_cond_wait(&p->work, &p->lock);
			continue;
		}
		pthread_mutex_unlock(&p->lock);
		double start = clock_now(), decoding = 0;
		if (job->decode)
			decoding = run_decode(&p->options, job);
		else
			run_read(p, job);
		double seconds = clock_now() - start;
		pthread_mutex_lock(&p->lock);
		if (job->decode) {
			p->times.decode += decoding;
			p->times.resize += seconds - decoding;
		} else {
			p->times.read += seconds;
		}
		job->busy = false;
		p->finished++;
		pthread_cond_signal(&p->done);
	}
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

enum status pipeline_open(const struct pipeline_options *options, struct pipeline **pipeline, struct err *err)
{
	struct pipeline *p = mem_array(1, sizeof *p);
	pthread_condattr_t monotonic;
	int error = 0;

	if (!p || !(p->threads = mem_array(options->jobs, sizeof *p->threads))) {
		free(p);
		return err_memory(err, "threads");
	}
	p->options = *options;
	p->reads.last = &p->reads.first;
	p->decodes.last = &p->decodes.first;
	pthread_mutex_init(&p->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&p->work, NULL);
	pthread_cond_init(&p->done, &monotonic);
	pthread_condattr_destroy(&monotonic);
	while (p->thread_count < options->jobs && !(error = pthread_create(&p->threads[p->thread_count], NULL, work, p)))
		p->thread_count++;
	if (!p->thread_count) {
		pipeline_close(p);
		return err_set(err, STATUS_FAILED, "cannot start a thread: %s", strerror(error));
	}
	*pipeline = p;
	return STATUS_OK;
}

void pipeline_close(struct pipeline *p)
{
	if (!p)
		return;
	pthread_mutex_lock(&p->lock);
	p->stop = true;
	pthread_cond_broadcast(&p->work);
	pthread_mutex_unlock(&p->lock);
	for (size_t i = 0; i < p->thread_count; i++)
		pthread_join(p->threads[i], NULL);
	pthread_cond_destroy(&p->work);
	pthread_cond_destroy(&p->done);
	pthread_mutex_destroy(&p->lock);
	free(p->threads);
	free(p);
}

static void submit(struct pipeline *p, struct job *job, bool decode)
{
	pthread_mutex_lock(&p->lock);
	job->busy = true;
	job->decode = decode;
	queue_put(decode ? &p->decodes : &p->reads, job);
	pthread_cond_signal(&p->work);
	pthread_mutex_unlock(&p->lock);
}

void pipeline_read(struct pipeline *p, struct job *job)
{
	submit(p, job, false);
}

void pipeline_decode(struct pipeline *p, struct job *job)
{
	submit(p, job, true);
}

bool pipeline_idle(struct pipeline *p, const struct job *job)
{
	pthread_mutex_lock(&p->lock);
	bool idle = !job->busy;
	pthread_mutex_unlock(&p->lock);
	return idle;
}

void pipeline_wait(struct pipeline *p)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += 100000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_nsec -= 1000000000;
		until.tv_sec++;
	}
	pthread_mutex_lock(&p->lock);
	if (p->finished == p->noticed)
		pthread_cond_timedwait(&p->done, &p->lock, &until);
	p->noticed = p->finished;
	pthread_mutex_unlock(&p->lock);
}

void pipeline_notify(struct pipeline *p)
{
	pthread_mutex_lock(&p->lock);
	p->finished++;
	pthread_cond_signal(&p->done);
	pthread_mutex_unlock(&p->lock);
}

struct pipeline_times pipeline_times(struct pipeline *p)
{
	pthread_mutex_lock(&p->lock);
	struct pipeline_times times = p->times;
	pthread_mutex_unlock(&p->lock);
	return times;
}

/* --- jobs --- */

void job_drop_bytes(struct job *job)
{
	free(job->bytes);
	job->bytes = NULL;
}

void job_release(struct job *job)
{
	job_drop_bytes(job);
	probe_release(&job->probe);
	free(job->rgb);
	job->rgb = NULL;
}
