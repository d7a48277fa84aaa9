/* last_model.h: the last model of a catalog, read past the program, for tests and tools that are given a catalog alone. */
#ifndef TESTS_LAST_MODEL_H
#define TESTS_LAST_MODEL_H

#include <sqlite3.h>
#include <stdio.h>

#include "schema/catalog/models.h"

static inline enum status last_model(const char *path, struct catalog_model *model, struct err *err)
{
	sqlite3 *db = NULL;
	sqlite3_stmt *s = NULL;
	enum status status = STATUS_OK;

	*model = (struct catalog_model){0};
	if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL) != SQLITE_OK ||
	    sqlite3_prepare_v2(db, "SELECT id, config_digest, weights_digest, name, dim, tokens, width FROM models ORDER BY id DESC LIMIT 1", -1, &s,
			       NULL) != SQLITE_OK)
		status = err_set(err, STATUS_FAILED, "cannot read the models of '%s': %s", path, sqlite3_errmsg(db));
	if (s && sqlite3_step(s) == SQLITE_ROW) {
		model->id = sqlite3_column_int64(s, 0);
		snprintf(model->config_digest, sizeof model->config_digest, "%s", (const char *)sqlite3_column_text(s, 1));
		snprintf(model->weights_digest, sizeof model->weights_digest, "%s", (const char *)sqlite3_column_text(s, 2));
		snprintf(model->name, sizeof model->name, "%s", (const char *)sqlite3_column_text(s, 3));
		model->dim = sqlite3_column_int64(s, 4);
		model->tokens = sqlite3_column_int64(s, 5);
		model->width = sqlite3_column_int64(s, 6);
	}
	sqlite3_finalize(s);
	sqlite3_close(db);
	return status;
}

#endif
