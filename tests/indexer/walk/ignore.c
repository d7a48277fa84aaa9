/* ignore.c: patterns are read as .gitignore reads them. Every line of the table was checked against `git check-ignore`. */
#include "indexer/walk/ignore.h"

#include "tests/indexer/tree.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "schema/base/banned.h"

/* path: below the folder of the patterns; with a slash at its end it is a folder. */
static const struct {
	const char *patterns, *path;
	enum ignore_verdict verdict;
} table[] = {
	{"a.jpg", "a.jpg", IGNORE_OUT},
	{"a.jpg", "x/y/a.jpg", IGNORE_OUT},
	{"a.jpg", "A.jpg", IGNORE_NOTHING},
	{"a.jpg", "ba.jpg", IGNORE_NOTHING},
	{"/a.jpg", "a.jpg", IGNORE_OUT},
	{"/a.jpg", "x/a.jpg", IGNORE_NOTHING},
	{"x/a.jpg", "x/a.jpg", IGNORE_OUT},
	{"x/a.jpg", "y/x/a.jpg", IGNORE_NOTHING},
	{"raw/", "raw/", IGNORE_OUT},
	{"raw/", "x/raw/", IGNORE_OUT},
	{"raw/", "raw", IGNORE_NOTHING},
	{"/raw/", "x/raw/", IGNORE_NOTHING},
	{"x/raw/", "x/raw/", IGNORE_OUT},
	{"*.jpg", "x/a.jpg", IGNORE_OUT},
	{"*", ".a", IGNORE_OUT},
	{"a*b", "a/b", IGNORE_NOTHING},
	{"a*b*c", "aXbbXc", IGNORE_OUT},
	{"x/*.jpg", "x/y/a.jpg", IGNORE_NOTHING},
	{"x?a", "x/a", IGNORE_NOTHING},
	{"?.jpg", "a.jpg", IGNORE_OUT},
	{"**/a.jpg", "a.jpg", IGNORE_OUT},
	{"**/a.jpg", "x/y/a.jpg", IGNORE_OUT},
	{"x/**", "x/", IGNORE_NOTHING},
	{"x/**", "x/y/a.jpg", IGNORE_OUT},
	{"x/**/a.jpg", "x/a.jpg", IGNORE_OUT},
	{"x/**/a.jpg", "x/y/z/a.jpg", IGNORE_OUT},
	{"x/**/y/*.jpg", "x/y/z/y/a.jpg", IGNORE_OUT},
	{"**/x/**/y", "z/x/x/w/y", IGNORE_OUT},
	{"x/**b", "x/y/b", IGNORE_NOTHING},
	{"x/**b", "x/yb", IGNORE_OUT},
	{"**", "x/a.jpg", IGNORE_OUT},
	{"[abc].jpg", "b.jpg", IGNORE_OUT},
	{"[!abc].jpg", "b.jpg", IGNORE_NOTHING},
	{"[^abc].jpg", "d.jpg", IGNORE_OUT},
	{"[a-c]", "b", IGNORE_OUT},
	{"[]x]", "]", IGNORE_OUT},
	{"[a-]", "-", IGNORE_OUT},
	{"[\\]]", "]", IGNORE_OUT},
	{"[[:digit:]]x", "7x", IGNORE_OUT},
	{"[[:upper:]]x", "ax", IGNORE_NOTHING},
	{"[ab", "[ab", IGNORE_NOTHING},
	{"x[/]a", "x/a", IGNORE_NOTHING},
	{"\\*.jpg", "*.jpg", IGNORE_OUT},
	{"\\*.jpg", "a.jpg", IGNORE_NOTHING},
	{"a\\", "a", IGNORE_NOTHING},
	{"#a", "#a", IGNORE_NOTHING},
	{"\\#a", "#a", IGNORE_OUT},
	{"\\!a", "!a", IGNORE_OUT},
	{"a  ", "a", IGNORE_OUT},
	{"a\\ ", "a ", IGNORE_OUT},
	{" a", "a", IGNORE_NOTHING},
	{" a", " a", IGNORE_OUT},
	{"a\r\nb\r\n", "a", IGNORE_OUT},
	{"\xef\xbb\xbf" "a", "a", IGNORE_OUT},
	{"\n\n/\n", "a", IGNORE_NOTHING},
	{"\xff*", "\xff\xfe.jpg", IGNORE_OUT},
	{"[\xe0-\xff]", "\xf0", IGNORE_OUT},
	{"*.jpg\n!a.jpg", "a.jpg", IGNORE_IN_NAMED},
	{"*.jpg\n!a*", "a.jpg", IGNORE_IN},
	{"!a.jpg\n*.jpg", "a.jpg", IGNORE_OUT},
	{"*\n!*/\n!*.jpg", "x/", IGNORE_IN},
	{"*\n!*/\n!*.jpg", "x/a.jpg", IGNORE_IN},
	{"*\n!*/\n!*.jpg", "x/a.png", IGNORE_OUT},
};

static void patterns_mean_what_they_mean_to_git(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		struct ignore *ignore = ignore_new(NULL, "/r");
		assert_true(ignore_add(ignore, table[i].patterns, strlen(table[i].patterns)));
		char path[64];
		int n = snprintf(path, sizeof path, "/r/%s", table[i].path);
		bool folder = path[n - 1] == '/';
		if (folder)
			path[n - 1] = '\0';
		enum ignore_verdict verdict = ignore_verdict(ignore, path, folder);
		if (verdict != table[i].verdict)
			fail_msg("'%s' says %d of '%s', not %d", table[i].patterns, verdict, table[i].path, table[i].verdict);
		ignore_free(ignore);
	}
}

static void a_deeper_level_decides(void **state)
{
	(void)state;
	struct ignore *top = ignore_new(NULL, "/r"), *sub = ignore_new(top, "/r/x");

	assert_true(ignore_add(top, "*.jpg\n/x/c.png", 14));
	assert_true(ignore_add(sub, "!/a.jpg\nb.png", 13));
	assert_int_equal(ignore_verdict(sub, "/r/x/a.jpg", false), IGNORE_IN_NAMED);
	assert_int_equal(ignore_verdict(sub, "/r/x/y/a.jpg", false), IGNORE_OUT);
	assert_int_equal(ignore_verdict(sub, "/r/x/b.png", false), IGNORE_OUT);
	assert_int_equal(ignore_verdict(sub, "/r/x/c.png", false), IGNORE_OUT);
	assert_int_equal(ignore_verdict(top, "/r/b.png", false), IGNORE_NOTHING);
	assert_int_equal(ignore_verdict(NULL, "/r/a.jpg", false), IGNORE_NOTHING);
	ignore_free(sub);
	ignore_free(top);
}

/* Backtracking without care takes 2^40 steps for this. */
static void no_pattern_takes_for_ever(void **state)
{
	(void)state;
	char pattern[200] = "", text[4001];

	for (size_t i = 0; i < 40; i++)
		memcpy(pattern + 5 * i, i % 2 ? "**/a*" : "/*a*/", 5);
	pattern[199] = 'b';
	memset(text, 'a', 4000);
	for (size_t i = 7; i < 4000; i += 8)
		text[i] = '/';
	text[4000] = '\0';
	assert_false(ignore_match(pattern, text));
	assert_false(ignore_match("*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"));
}

/* --- in a walk --- */

/* The photographs found below root; what is asked of a path alone says the same. */
static void expect(const char *root, const struct walk_options *options, const char *expected)
{
	struct walk walk;

	assert_string_equal(tree_walk(root, options, &walk), expected);
	for (size_t i = 0; i < walk.count; i++)
		assert_false(rules_pass_over(&options->rules, root, walk.photos[i].path));
	walk_release(&walk);
}

static const char *sample(void)
{
	const char *root = tree_root();
	static const char *const names[] = {"a.jpg", "a.png", "x/a.jpg", "x/a.png", "x/keep.png", "x/y/a.png", "raw/a.jpg", ".private/a.jpg",
					    "@eaDir/a.jpg", "x/._a.jpg"};

	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		tree_make(root, names[i], "x");
	return root;
}

static void files_in_folders_are_obeyed(void **state)
{
	(void)state;
	const char *root = sample();

	expect(root, &(struct walk_options){0}, "a.jpg a.png raw/a.jpg x/a.jpg x/a.png x/keep.png x/y/a.png");
	tree_make(root, ".cocaignore", "# no screenshots\n*.png\nraw/\n");
	expect(root, &(struct walk_options){0}, "a.jpg x/a.jpg");
	tree_make(root, "x/.cocaignore", "!keep.png\n/a.jpg\n!/y/*\n");
	expect(root, &(struct walk_options){0}, "a.jpg x/keep.png x/y/a.png");
	assert_true(rules_pass_over(&(struct rules){0}, root, test_path(root, "x/a.jpg")));
	assert_true(rules_pass_over(&(struct rules){0}, root, test_path(root, "raw/a.jpg")));
	/* A folder that is named itself is walked, by the rules of those above it. */
	expect(test_path(root, "x"), &(struct walk_options){0}, "keep.png y/a.png");
	expect(test_path(root, "raw"), &(struct walk_options){0}, "a.jpg");
}

static void the_command_line_decides_over_files(void **state)
{
	(void)state;
	const char *root = sample();
	const char *back[] = {"!a.png", "#x"}, *out[] = {"x"};

	tree_make(root, ".cocaignore", "*.png\nraw/\n!x/\n");
	expect(root, &(struct walk_options){.rules.excludes = back, .rules.exclude_count = 2}, "a.jpg a.png x/a.jpg x/a.png x/y/a.png");
	expect(root, &(struct walk_options){.rules.excludes = out, .rules.exclude_count = 1}, "a.jpg");
}

/* "*", "!*.jpg" is a common way to say "only these": it must not fetch AppleDouble's companions. */
static void what_systems_keep_is_taken_back_by_name_only(void **state)
{
	(void)state;
	const char *root = sample();

	tree_make(root, ".cocaignore", "*\n!*/\n!*.jpg\n");
	expect(root, &(struct walk_options){0}, "a.jpg raw/a.jpg x/a.jpg");
	tree_make(root, ".cocaignore", "*.png\n!@eaDir/\n!.private/\n");
	expect(root, &(struct walk_options){0}, ".private/a.jpg @eaDir/a.jpg a.jpg raw/a.jpg x/a.jpg");
}

static void rules_that_cannot_be_read_are_reported(void **state)
{
	(void)state;
	const char *root = sample();
	struct walk walk = {0};

	assert_int_equal(mkdir(test_path(root, "x/.cocaignore"), 0700), 0); /* root reads any file, but no folder */
	assert_ok(walk_root(&walk, root, 0, &(struct walk_options){0}, &err), &err);
	walk_finish(&walk);
	assert_int_equal(walk.trouble_count, 1);
	assert_string_equal(walk.troubles[0].path, test_path(root, "x"));
	assert_non_null(strstr(walk.troubles[0].reason, ".cocaignore"));
	assert_null(walk_find(&walk, test_path(root, "x/a.jpg")));
	assert_non_null(walk_find(&walk, test_path(root, "a.jpg")));
	walk_release(&walk);
}

TEST_MAIN(cmocka_unit_test(patterns_mean_what_they_mean_to_git), cmocka_unit_test(a_deeper_level_decides),
	  cmocka_unit_test(no_pattern_takes_for_ever), cmocka_unit_test(files_in_folders_are_obeyed),
	  cmocka_unit_test(the_command_line_decides_over_files), cmocka_unit_test(what_systems_keep_is_taken_back_by_name_only),
	  cmocka_unit_test(rules_that_cannot_be_read_are_reported))
