/* progress.c: see progress.h. */
#include "schema/cli/progress.h"

#include <math.h>

#include "schema/base/clock.h"

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

void progress_start(struct progress *progress, struct cli *cli, const char *verb, const char *unit)
{
	*progress = (struct progress){cli, verb, unit, clock_now(), 0};
}

void progress_show(struct progress *progress, size_t done, size_t total)
{
	double now = clock_now(), seconds = now - progress->started;
	char a[32], b[32], left[16];

	if (!progress->cli->progress || now - progress->drawn < 0.1)
		return;
	progress->drawn = now;
	fprintf(progress->cli->log, "\r\033[K%s  %s", progress->verb, grouped(done, a));
	if (total)
		fprintf(progress->cli->log, " of %s", grouped(total, b));
	if (done && seconds > 0.5) {
		double rate = (double)done / seconds;
		fprintf(progress->cli->log, "  %.*f %s/s", rate < 10 ? 1 : 0, rate, progress->unit);
		if (total > done)
			fprintf(progress->cli->log, "  %s left", cli_duration((double)(total - done) / rate, left));
	}
	fflush(progress->cli->log);
}

void progress_end(struct progress *progress)
{
	if (progress->cli->progress && progress->drawn > 0) {
		fprintf(progress->cli->log, "\r\033[K");
		fflush(progress->cli->log);
	}
}
