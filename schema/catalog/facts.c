/* facts.c: see facts.h. A trigger drops a text when the last photo that brought it lets go of it. */
#include "schema/catalog/facts.h"

#include "schema/catalog/internal.h"
#include "schema/catalog/texts.h"

#include "schema/base/banned.h"

enum status catalog_facts_put(struct catalog *catalog, int64_t photo, int64_t content, int64_t stamp, const struct catalog_fact *facts,
			      size_t n, struct err *err)
{
	bool own;
	enum status status = catalog_scope_enter(catalog, &own, err);

	if (status != STATUS_OK)
		return status;
	/* What stays keeps its row, and with it its embeddings. */
	status = catalog_change(catalog, "UPDATE photo_texts SET current = 0 WHERE photo = ?", VALUES(ID(photo)), err);
	for (size_t i = 0; i < n && content && status == STATUS_OK; i++) {
		struct catalog_text text = {.collection = facts[i].collection, .photo_content = content, .text = facts[i].text,
					    .text_size = facts[i].text_size};
		status = catalog_text_put(catalog, &text, err);
		if (status == STATUS_OK)
			status = catalog_change(catalog, "INSERT INTO photo_texts (photo, text, current) VALUES (?, ?, 1)"
							 " ON CONFLICT (photo, text) DO UPDATE SET current = 1", VALUES(ID(photo), ID(text.id)), err);
	}
	if (status == STATUS_OK)
		status = catalog_change(catalog, "DELETE FROM photo_texts WHERE photo = ? AND NOT current", VALUES(ID(photo)), err);
	if (status == STATUS_OK)
		status = catalog_change(catalog, "UPDATE photos SET facts = ? WHERE id = ?", VALUES(ID(stamp), ID(photo)), err);
	return catalog_scope_leave(catalog, own, status, err);
}
