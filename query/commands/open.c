/* open.c: see open.h. */
#include "query/commands/open.h"

#include "schema/base/banned.h"

enum status open_library(struct cli *cli, enum library_mode mode, struct library *library, struct err *err)
{
	const struct library_options options = {cli->database, cli->model, mode, &cli->listener};

	return library_open(&options, library, err);
}

int open_failed(struct cli *cli, struct library *library, const struct err *err)
{
	int code = cli_fail(cli, err);

	if (library->empty)
		code = EXIT_NO_RESULT;
	library_close(library);
	return code;
}
