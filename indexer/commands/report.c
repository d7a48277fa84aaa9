/* report.c: see report.h. */
#include "indexer/commands/report.h"

#include <stdio.h>
#include <string.h>

#include "schema/base/banned.h"

static void print_lines(FILE *log, const char *prefix, const struct buffer *lines)
{
	for (const char *line = lines->data; line && *line;) {
		size_t n = strcspn(line, "\n");
		fprintf(log, "%s%.*s\n", prefix, (int)n, line);
		line += n + (line[n] == '\n');
	}
}

static void print_count(FILE *log, size_t n, const char *what)
{
	if (n)
		fprintf(log, ", %zu %s", n, what);
}

static void print_summary(struct cli *cli, const struct index_report *report, bool verbose)
{
	const struct ingest_counts *counts = &report->counts;
	size_t worked = counts->added + counts->changed + counts->again + counts->moved;
	FILE *log = cli->log;

	fprintf(log, "%zu photos: %zu new, %zu unchanged", report->photos, counts->added, counts->unchanged);
	print_count(log, counts->changed, "changed");
	print_count(log, counts->again, "embedded by this model");
	print_count(log, counts->moved, "moved or copied");
	print_count(log, counts->noted, "with other notes");
	print_count(log, counts->back, "back again");
	print_count(log, report->gone, "gone");
	print_count(log, report->kept, "away");
	print_count(log, counts->failed, "failed");
	fprintf(log, "; %.1f s", report->seconds);
	if (worked) {
		double rate = (double)worked / report->seconds;
		fprintf(log, rate < 999.5 ? ", %.3g photos/s" : ", %.0f photos/s", rate);
	}
	fprintf(log, "\n");
	if (report->dropped)
		fprintf(log, "%zu dropped from the catalog\n", report->dropped);
	if (counts->cut_short)
		fprintf(log, "cut short, indexed by what is there: %zu\n", counts->cut_short);
	if (report->unsupported.size)
		fprintf(log, "not supported yet: %s files\n", report->unsupported.data);
	if (report->links)
		fprintf(log, "symbolic links not followed: %zu; hint: --follow\n", report->links);
	if (verbose)
		fprintf(log, "busy seconds: walk %.2f, read %.2f, decode %.2f, resize %.2f, encode %.2f, store %.2f\n", report->walking,
			counts->busy.read, counts->busy.decode, counts->busy.resize, counts->encoding, counts->storing);
}

void report_print(struct cli *cli, const struct index_report *report, bool verbose)
{
	const size_t failed = report->counts.failed;

	print_lines(cli->log, "coca: ", &report->warnings);
	if (failed) {
		fprintf(cli->log, failed == 1 ? "%zu file was skipped:\n" : "%zu files were skipped:\n", failed);
		print_lines(cli->log, "  ", &report->counts.failures);
		if (failed > INGEST_NAMED_MOST)
			fprintf(cli->log, "  and %zu more\n", failed - INGEST_NAMED_MOST);
	}
	if (!cli->quiet)
		print_summary(cli, report, verbose);
}

bool report_is_news(const struct index_report *report, struct buffer *said)
{
	const struct ingest_counts *counts = &report->counts;
	struct buffer lines = {0};

	buffer_append(&lines, counts->failures.data, counts->failures.size);
	buffer_append(&lines, report->warnings.data, report->warnings.size);
	bool news = lines.size != said->size || (lines.size && memcmp(lines.data, said->data, lines.size) != 0) ||
		    counts->added + counts->changed + counts->again + counts->moved + counts->back + report->gone + report->dropped > 0;
	buffer_release(said);
	*said = lines;
	return news;
}
