/* open.c: see open.h. */
#include "query/commands/open.h"

#include "schema/base/banned.h"

static enum status open_as(struct cli *cli, enum library_mode mode, struct library *library, struct err *err)
{
	const struct library_options options = {cli->database, cli->model, coca_precision_named(cli->precision), mode, &cli->listener};

	return library_open(&options, library, err);
}

static enum status open_by(struct cli *cli, struct library *library, struct err *err)
{
	switch (cli->needs) {
	case NEEDS_MODEL:
		return engine_open(cli->model, coca_precision_named(cli->precision), &library->engine, err);
	case NEEDS_CATALOG:
		return open_as(cli, LIBRARY_CATALOG, library, err);
	case NEEDS_CATALOG_WRITER:
		return catalog_open(cli->database, CATALOG_WRITE, &library->catalog, err);
	case NEEDS_LIBRARY:
		return open_as(cli, LIBRARY_READ, library, err);
	case NEEDS_LIBRARY_OR_NONE:
		return open_as(cli, LIBRARY_READ_OR_EMPTY, library, err);
	case NEEDS_LIBRARY_WRITER:
		return open_as(cli, LIBRARY_WRITE, library, err);
	default:
		return STATUS_OK;
	}
}

enum status open_needs(struct cli *cli, struct library *library, struct err *err)
{
	*library = (struct library){.model = cli->model, .precision = coca_precision_named(cli->precision), .listener = &cli->listener};
	cli->library = library;
	enum status status = open_by(cli, library, err);
	cli->catalog = library->catalog;
	return status;
}

int open_failed(struct cli *cli, const struct err *err)
{
	int code = cli_fail(cli, err);

	return cli->library && cli->library->empty && cli->needs == NEEDS_LIBRARY ? EXIT_NO_RESULT : code;
}
