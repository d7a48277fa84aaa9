/* session.c: see session.h. */
#include "query/session/session.h"

#include "schema/store/sqlite.h"

#include "schema/base/banned.h"

static enum status open_other(struct session *session, const char *model, struct err *err)
{
	struct catalog *catalog = session->library->catalog;
	struct catalog_model row;
	enum status status = engine_open(model, session->library->precision, &session->other, err);

	if (status != STATUS_OK)
		return status;
	status = engine_identify(&session->other, catalog, &row, err);
	if (status != STATUS_OK && status != STATUS_NOT_FOUND)
		return status;
	return sqlite_store_open(catalog, status == STATUS_OK ? &row : NULL, &session->other_store, err);
}

enum status session_open(struct library *library, const char *rerank_model, bool exact, struct session *session, struct err *err)
{
	*session = (struct session){.library = library};
	enum status status = rerank_model ? open_other(session, rerank_model, err) : STATUS_OK;

	library->engine.exact = session->other.exact = exact;
	return status;
}

void session_close(struct session *session)
{
	store_close(session->other_store);
	engine_close(&session->other);
	*session = (struct session){0};
}

struct engine *session_reranker(struct session *session, struct store **store)
{
	bool other = session->other.model != NULL;

	*store = other ? session->other_store : session->library->store;
	return other ? &session->other : &session->library->engine;
}
