/* progress.c: see progress.h. */
#include "schema/cli/progress.h"

#include <math.h>

#include "schema/base/clock.h"
#include "schema/base/memory.h"

#include "schema/base/banned.h"

const char *cli_bytes(double bytes, char text[16])
{
	static const char *const units[] = {"bytes", "KB", "MB", "GB", "TB"};
	size_t u = 0;

	while (bytes >= 999.5 && u + 1 < sizeof units / sizeof *units) {
		bytes /= 1000;
		u++;
	}
	snprintf(text, 16, u && bytes < 9.95 ? "%.1f %s" : "%.0f %s", bytes, units[u]);
	return text;
}

const char *cli_duration(double seconds, char text[16])
{
	unsigned s = (unsigned)fmin(fmax(seconds + 0.5, 0), 359999999);

	if (s >= 3600)
		snprintf(text, 16, "%u:%02u:%02u", s / 3600 % 100000, s / 60 % 60, s % 60);
	else
		snprintf(text, 16, "%u:%02u", s / 60 % 60, s % 60);
	return text;
}

/* 1234567 as "1,234,567". */
static const char *grouped(size_t n, char text[32])
{
	char digits[24];
	int size = snprintf(digits, sizeof digits, "%zu", n);
	size_t at = 0;

	for (int i = 0; i < size; i++) {
		if (i && (size - i) % 3 == 0)
			text[at++] = ',';
		text[at++] = digits[i];
	}
	text[at] = '\0';
	return text;
}

void progress_start(struct progress *progress, const struct listener *listener, const char *verb, const char *unit)
{
	*progress = (struct progress){listener, verb, unit, clock_now(), 0};
}

void progress_show(struct progress *progress, size_t done, size_t total)
{
	const struct listener *listener = progress->listener;
	double now = clock_now(), seconds = now - progress->started;
	char a[32], b[32], left[16];
	struct buffer line = {0};

	if (!listener || !listener->progress || now - progress->drawn < 0.1)
		return;
	progress->drawn = now;
	buffer_format(&line, "%s  %s", progress->verb, grouped(done, a));
	if (total)
		buffer_format(&line, " of %s", grouped(total, b));
	if (done && seconds > 0.5) {
		double rate = (double)done / seconds;
		buffer_format(&line, "  %.*f %s/s", rate < 10 ? 1 : 0, rate, progress->unit);
		if (total > done)
			buffer_format(&line, "  %s left", cli_duration((double)(total - done) / rate, left));
	}
	if (!line.failed)
		listener->progress(listener->context, line.data);
	buffer_release(&line);
}

void progress_end(struct progress *progress)
{
	const struct listener *listener = progress->listener;

	if (listener && listener->progress && progress->drawn > 0)
		listener->progress(listener->context, NULL);
}

/* ---- the log ---------------------------------------------------------------------------------------------------- */

static void say(void *context, const char *text)
{
	struct cli *cli = context;

	fprintf(cli->log, "coca: %s\n", text);
}

static void draw(void *context, const char *line)
{
	struct cli *cli = context;

	fprintf(cli->log, "\r\033[K%s", line ? line : "");
	fflush(cli->log);
}

void cli_listen(struct cli *cli)
{
	cli->listener = (struct listener){
		.context = cli,
		.note = cli->quiet ? NULL : say,
		.fault = say,
		.progress = cli->progress ? draw : NULL,
		.interrupted = cli->interrupted,
	};
}
