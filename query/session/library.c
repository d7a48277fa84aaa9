/* library.c: see library.h. */
#include "query/session/library.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "query/session/remembered.h"

#include "schema/base/banned.h"

enum status library_open(struct cli *cli, struct library *library, struct err *err)
{
	*library = (struct library){0};
	enum status status = catalog_open(cli->database, CATALOG_READ, &library->catalog, err);

	if (status == STATUS_NOT_FOUND) {
		library->empty = true;
		return err_set(err, status, "nothing is indexed yet: there is no catalog '%s'; hint: coca index DIR", cli->database);
	}
	if (status == STATUS_OK)
		status = engine_open(cli->model, &library->engine, err);
	if (status != STATUS_OK)
		return status;
	status = engine_identify(&library->engine, library->catalog, &library->row, err);
	if (status == STATUS_NOT_FOUND) {
		library->empty = true;
		return err_set(err, status, "nothing is indexed by the model '%s' yet; hint: coca index DIR, or name another with --model",
			       cli->model);
	}
	return status;
}

void library_close(struct library *library)
{
	catalog_close(library->catalog);
	engine_close(&library->engine);
	*library = (struct library){0};
}

enum status library_embed_text(struct library *library, const char *text, size_t size, float *embedding, bool *cut, struct err *err)
{
	struct engine *engine = &library->engine;
	const char *path = catalog_path(library->catalog);
	int32_t *ids = NULL;
	struct coca_text encoded;
	enum status status = engine_text_ids(engine, text, size, &ids, &encoded, cut, err);

	if (status != STATUS_OK)
		return status;
	struct remembered_key key = remembered_key(&library->row, coca_precision(engine->model), &encoded);
	if (!remembered_get(path, &key, embedding, engine->embed)) {
		status = coca_encode_texts(engine->model, engine->state, &encoded, 1, embedding, NULL, err);
		if (status == STATUS_OK)
			remembered_put(path, &key, embedding, engine->embed);
	}
	free(ids);
	return status;
}

int library_fail(struct cli *cli, struct library *library, const struct err *err)
{
	int code = cli_fail(cli, err);

	if (library->empty)
		code = EXIT_NO_RESULT;
	library_close(library);
	return code;
}

void note(struct cli *cli, const char *format, ...)
{
	struct err visible;
	char text[sizeof visible.text];
	va_list args;

	if (cli->quiet)
		return;
	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	err_set(&visible, STATUS_OK, "%s", text); /* a path in it cannot forge a line */
	fprintf(cli->log, "coca: %s\n", visible.text);
}
