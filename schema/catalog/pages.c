/* pages.c: embeddings of a damaged catalog that lie on pages which nothing leads to any more.
 *
 * A page of the table's B-tree (SQLite's file format, 1.6): type 2 or 10, number of cells, their offsets; a cell is, after four bytes
 * in type 2, the size of its record and the record: a header of types, then model, content, vector. An id never means
 * another content, so that what an old page says of one is still true.
 */
#include <stdlib.h>

#include "schema/catalog/internal.h"

#include "schema/base/banned.h"

struct bytes {
	const uint8_t *at, *end;
};

/* Seven bits a byte; longer than any number here: 0. */
static uint64_t take_varint(struct bytes *b)
{
	uint64_t value = 0;

	for (int i = 0; i < 8 && b->at < b->end; i++) {
		value = value << 7 | (*b->at & 0x7f);
		if (!(*b->at++ & 0x80))
			return value;
	}
	return 0;
}

/* A column of a small, not negative integer by its type; 0, which is nobody's id, if it is none. */
static int64_t take_id(struct bytes *b, uint64_t type)
{
	static const uint8_t sizes[10] = {[1] = 1, [2] = 2, [3] = 3, [4] = 4, [5] = 6, [6] = 8};
	uint64_t number = type == 9;

	if (type > 9 || (size_t)(b->end - b->at) < sizes[type])
		return 0;
	for (size_t i = 0; i < sizes[type]; i++)
		number = number << 8 | *b->at++;
	return (int64_t)number;
}

static enum status take_cell(struct catalog *new, struct bytes cell, struct err *err)
{
	uint64_t size = take_varint(&cell), types[3];

	if (size > (uint64_t)(cell.end - cell.at))
		return STATUS_OK;
	struct bytes header = {cell.at, cell.at + size};
	uint64_t header_size = take_varint(&header);
	if (header_size > size)
		return STATUS_OK;
	for (size_t i = 0; i < 3; i++)
		types[i] = take_varint(&header);
	struct bytes body = {cell.at + header_size, cell.at + size};
	int64_t model = take_id(&body, types[0]), content = take_id(&body, types[1]);
	size_t left = (size_t)(body.end - body.at);
	if (header.at != cell.at + header_size || types[2] != 12 + 2 * (uint64_t)left)
		return STATUS_OK;
	return catalog_change(new, "INSERT OR IGNORE INTO embeddings (model, content, vector) SELECT m.id, c.id, ?3 FROM models m, contents c"
				   " WHERE m.id = ?1 AND c.id = ?2 AND length(?3) = 2 * m.dim", VALUES(ID(model), ID(content), BYTES(body.at, left)), err);
}

static enum status take_page(struct catalog *new, const uint8_t *p, size_t size, struct err *err)
{
	size_t inner = p[0] == 2 ? 4 : 0, first = 8 + inner, cells = (size_t)p[3] << 8 | p[4];
	enum status status = STATUS_OK;

	if ((p[0] != 2 && p[0] != 10) || first + 2 * cells > size)
		return STATUS_OK;
	for (const uint8_t *c = p + first; c < p + first + 2 * cells && status == STATUS_OK; c += 2) {
		size_t offset = ((size_t)c[0] << 8 | c[1]) + inner;
		if (offset < size)
			status = take_cell(new, (struct bytes){p + offset, p + size}, err);
	}
	return status;
}

enum status catalog_search_pages(struct catalog *old, struct catalog *new, struct err *err)
{
	sqlite3_file *file; /* SQLite's: another descriptor's closing would drop its locks */
	sqlite3_int64 size = 0;
	int64_t page;
	enum status status = catalog_number(old, "PRAGMA page_size", NO_VALUES, &page, err);

	if (status != STATUS_OK)
		return status;
	uint8_t *bytes = mem_array(1, (size_t)page);
	if (!bytes)
		return err_memory(err, "a page");
	sqlite3_file_control(old->db, "main", SQLITE_FCNTL_FILE_POINTER, &file);
	file->pMethods->xFileSize(file, &size);
	for (int64_t at = page; at + page <= size && status == STATUS_OK; at += page)
		if (file->pMethods->xRead(file, bytes, (int)page, at) == SQLITE_OK)
			status = take_page(new, bytes, (size_t)page, err);
	free(bytes);
	return status;
}
