/* tree.h: folders of files that are photographs by name alone, and what a walk finds in them. */
#ifndef TESTS_INDEXER_TREE_H
#define TESTS_INDEXER_TREE_H

#include "indexer/walk/walk.h"

#include <stdlib.h>
#include <string.h>

#include "schema/base/file.h"
#include "schema/base/memory.h"
#include "tests/support.h"

#include "schema/base/banned.h"

static struct err err;

/* A folder of its own, its links resolved. */
static inline const char *tree_root(void)
{
	char *real = realpath(test_folder(), NULL);
	const char *root = test_path(real, "root");

	free(real);
	return root;
}

/* A file and the folders above it. */
static inline void tree_make(const char *root, const char *name, const char *text)
{
	const char *path = test_path(root, name);
	char *folder = mem_copy(path, (size_t)(strrchr(path, '/') - path));

	assert_ok(path_make_folder(folder, &err), &err);
	free(folder);
	test_write(path, text, strlen(text));
}

/* "a.jpg b/c.jpg": what a walk finds below root; valid until the next call. */
static inline const char *tree_walk(const char *root, const struct walk_options *options, struct walk *walk)
{
	static struct buffer list;

	*walk = (struct walk){0};
	assert_ok(walk_root(walk, root, 0, options, &err), &err);
	walk_finish(walk);
	buffer_release(&list);
	buffer_text(&list, "");
	for (size_t i = 0; i < walk->count; i++)
		buffer_format(&list, "%s%s", i ? " " : "", walk->photos[i].path + strlen(root) + 1);
	return list.data ? list.data : "";
}

#endif
