/* transactions.c: changes of a catalog that happen together or not at all, and questions that see one state of it. A scope is a transaction,
 * or a savepoint within one; a snapshot is a transaction that reads alone.
 */
#include "schema/catalog/internal.h"

#include "schema/base/banned.h"

bool catalog_is_changing(const struct catalog *catalog)
{
	return sqlite3_txn_state(catalog->db, "main") == SQLITE_TXN_WRITE;
}

enum status catalog_begin(struct catalog *catalog, struct err *err)
{
	if (catalog_in_transaction(catalog))
		return err_set(err, STATUS_FAILED, "a transaction of the catalog '%s' is open already", catalog->path);
	return catalog_execute(catalog, "BEGIN IMMEDIATE", err);
}

enum status catalog_commit(struct catalog *catalog, struct err *err)
{
	if (!catalog_in_transaction(catalog))
		return err_set(err, STATUS_IO, "cannot commit to the catalog '%s': an error before ended the transaction", catalog->path);
	int moved = 0;
	enum status status = STATUS_OK;
	/* What is written to a file without a name, on a disk that was taken away, nobody will ever read. */
	if (catalog->lock >= 0 && sqlite3_file_control(catalog->db, "main", SQLITE_FCNTL_HAS_MOVED, &moved) == SQLITE_OK && moved)
		status = err_set(err, STATUS_IO, "the catalog '%s' is not there any more: it was moved, or its disk was taken away", catalog->path);
	if (status == STATUS_OK)
		status = catalog_execute(catalog, "COMMIT", err);
	if (status != STATUS_OK)
		catalog_rollback(catalog);
	return status;
}

void catalog_rollback(struct catalog *catalog)
{
	if (catalog_in_transaction(catalog))
		sqlite3_exec(catalog->db, "ROLLBACK", NULL, NULL, NULL);
}

enum status catalog_scope_enter(struct catalog *catalog, bool *own, struct err *err)
{
	*own = !catalog_in_transaction(catalog);
	return *own ? catalog_begin(catalog, err) : catalog_execute(catalog, "SAVEPOINT scope", err);
}

enum status catalog_scope_leave(struct catalog *catalog, bool own, enum status status, struct err *err)
{
	if (status == STATUS_OK)
		return own ? catalog_commit(catalog, err) : catalog_execute(catalog, "RELEASE scope", err);
	if (own)
		catalog_rollback(catalog);
	else if (catalog_in_transaction(catalog))
		sqlite3_exec(catalog->db, "ROLLBACK TO scope; RELEASE scope", NULL, NULL, NULL);
	return status;
}

enum status catalog_snapshot_enter(struct catalog *catalog, bool *own, struct err *err)
{
	*own = !catalog_in_transaction(catalog);
	return *own ? catalog_execute(catalog, "BEGIN", err) : STATUS_OK;
}

void catalog_snapshot_leave(struct catalog *catalog, bool own)
{
	if (own)
		catalog_rollback(catalog);
}
