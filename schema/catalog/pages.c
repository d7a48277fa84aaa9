/* pages.c: embeddings of a damaged catalog that lie on pages which nothing leads to any more.
 *
 * A page of the table's B-tree (SQLite's file format, 1.6): type 2 or 10, number of cells, their offsets; a cell is, after four bytes
 * in type 2, the size of its record and the record: a header of types, then model, content, vector. An id never means
 * another content, so that what an old page says of one is still true.
 */
#include "schema/base/file.h"
#include "schema/catalog/internal.h"

#include "schema/base/banned.h"

struct bytes {
	const uint8_t *at, *end;
};

static uint64_t take_varint(struct bytes *b)
{
	uint64_t value = 0;

	for (int i = 0; i < 8 && b->at < b->end; i++) {
		value = value << 7 | (*b->at & 0x7f);
		if (!(*b->at++ & 0x80))
			return value;
	}
	b->at = b->end; /* longer than any number here */
	return value;
}

/* A column of a small, not negative integer by its type: 1 to 6, 8 and 9. */
static bool take_integer(struct bytes *b, uint64_t type, int64_t *value)
{
	static const uint8_t sizes[] = {0, 1, 2, 3, 4, 6, 8};
	uint64_t number = 0;

	if (type == 8 || type == 9) {
		*value = (int64_t)type - 8;
		return true;
	}
	if (type < 1 || type > 6 || (size_t)(b->end - b->at) < sizes[type])
		return false;
	for (size_t i = 0; i < sizes[type]; i++)
		number = number << 8 | *b->at++;
	*value = (int64_t)number;
	return true;
}

static enum status take_cell(struct catalog *new, struct bytes cell, sqlite3_stmt *insert, struct err *err)
{
	int64_t model, content;
	uint64_t size = take_varint(&cell), types[3];

	if (size > (uint64_t)(cell.end - cell.at))
		return STATUS_OK;
	struct bytes header = cell;
	uint64_t header_size = take_varint(&header);
	if (header_size > size)
		return STATUS_OK;
	header.end = cell.at + header_size;
	for (size_t i = 0; i < 3; i++)
		types[i] = take_varint(&header);
	struct bytes body = {cell.at + header_size, cell.at + size};
	if (header.at != header.end || !take_integer(&body, types[0], &model) || !take_integer(&body, types[1], &content) || types[2] < 12 ||
	    types[2] % 2 || (types[2] - 12) / 2 != (uint64_t)(body.end - body.at))
		return STATUS_OK;
	sqlite3_bind_int64(insert, 1, model);
	sqlite3_bind_int64(insert, 2, content);
	sqlite3_bind_blob(insert, 3, body.at, (int)(body.end - body.at), SQLITE_STATIC);
	int code = sqlite3_step(insert);
	sqlite3_reset(insert);
	return code == SQLITE_DONE || code == SQLITE_CONSTRAINT ? STATUS_OK : catalog_failed(new, err);
}

enum status catalog_search_pages(struct catalog *old, struct catalog *new, struct err *err)
{
	struct file_map map;
	sqlite3_stmt *insert = NULL;
	int64_t size;

	/* What the log holds is in the file then; if that fails, it was read by SQLite, as far as it could be. */
	sqlite3_exec(old->db, "PRAGMA wal_checkpoint(TRUNCATE)", NULL, NULL, NULL);
	catalog_number(old, "PRAGMA page_size", NO_VALUES, &size, NULL); /* 0 if that fails: then there is nothing to look at */
	enum status status = file_map_open(old->path, &map, err);
	size_t page = (size_t)size;
	if (status != STATUS_OK)
		return status;
	status = catalog_prepare(new, "INSERT OR IGNORE INTO embeddings (model, content, vector) SELECT m.id, c.id, ?3 FROM models m, contents c"
				      " WHERE m.id = ?1 AND c.id = ?2 AND length(?3) = 2 * m.dim", &insert, err);
	for (size_t at = page; page && status == STATUS_OK && at + page <= map.size; at += page) {
		const uint8_t *p = map.data + at;
		size_t header = p[0] == 2 ? 12 : 8, cells = (size_t)p[3] << 8 | p[4];
		if ((p[0] != 2 && p[0] != 10) || header + 2 * cells > page)
			continue;
		for (size_t i = 0; i < cells && status == STATUS_OK; i++) {
			size_t offset = (size_t)p[header + 2 * i] << 8 | p[header + 2 * i + 1];
			offset += p[0] == 2 ? 4 : 0;
			if (offset < page)
				status = take_cell(new, (struct bytes){p + offset, p + page}, insert, err);
		}
	}
	catalog_done(new, insert);
	file_map_close(&map);
	return status;
}
