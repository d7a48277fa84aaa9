/* output.c: see output.h. */
#include "query/show/output.h"

#include <string.h>
#include <unistd.h>

#include "query/session/library.h"
#include "query/show/page.h"
#include "query/show/result.h"

#include "schema/base/banned.h"

enum status output_parse(const struct output_options *given, FILE *stream, struct output *output, struct err *err)
{
	bool terminal = isatty(fileno(stream));
	const char *how = given->preview ? given->preview : "none";

	*output = (struct output){.format = given->format, .page = given->page};
	enum status status = preview_choose(how, terminal, &output->preview, err);
	if (status == STATUS_OK && output->preview != PREVIEW_NONE && output->format != FORMAT_TEXT)
		return err_set(err, STATUS_USAGE, "--preview goes with --format text alone");
	output->blind = terminal && output->preview == PREVIEW_NONE && strcmp(how, "auto") == 0;
	output->format = format_for(output->format, stream);
	return status;
}

enum status output_results(struct cli *cli, const struct output *output, const char *title, struct store *store,
			   struct results *results, struct err *err)
{
	struct buffer out = {0};
	enum status status = STATUS_OK;

	if (output->blind)
		listener_note(&cli->listener, "this terminal is not known to show pictures; hint: --preview=sixel or kitty or iterm, or --html FILE");
	/* One at a time, so that the first is seen while the thumbnail of the next is made. */
	for (size_t i = 0; i < results->count && status == STATUS_OK; i++) {
		result_format(results, i, output->format, &out);
		if (output->preview != PREVIEW_NONE && !results->items[i].missing)
			preview_photo(output->preview, results->items[i].photo.path, &out);
		status = format_print(cli->out, &out, err);
	}
	if (status != STATUS_OK || !output->page)
		return status;
	status = search_captions(store, results, err);
	return status == STATUS_OK ? page_write(output->page, title, results, err) : status;
}
