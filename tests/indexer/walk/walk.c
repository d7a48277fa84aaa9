/* walk.c: which files a walk takes, in which order, and what it says of the rest. */
#include "tests/indexer/tree.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "indexer/walk/path.h"

#include "schema/base/banned.h"

static void expect(const char *root, const struct walk_options *options, const char *expected)
{
	struct walk walk;

	assert_string_equal(tree_walk(root, options, &walk), expected);
	walk_release(&walk);
}

static const char *sample(const char *const *files)
{
	const char *root = tree_root();

	for (; *files; files++)
		tree_make(root, *files, "x");
	return root;
}

static void takes_photo_names_in_byte_order(void **state)
{
	(void)state;
	const char *root = sample((const char *[]){"b.JPG", "a/z.jpeg", "a.png", "a/B.WebP", "x.jpe", "y.Jfif", "notes.txt",
		"jpg", ".jpg", "z.jpg.part", NULL});

	expect(root, &(struct walk_options){0}, "a.png a/B.WebP a/z.jpeg b.JPG x.jpe y.Jfif");
}

static void tells_size_and_time(void **state)
{
	(void)state;
	const char *root = sample((const char *[]){"a.jpg", NULL});
	struct walk walk;
	struct stat st;

	tree_walk(root, &(struct walk_options){0}, &walk);
	assert_int_equal(stat(test_path(root, "a.jpg"), &st), 0);
	assert_int_equal(walk.photos[0].size, 1);
	assert_int_equal(walk.photos[0].mtime_ns, file_mtime(&st));
	assert_true(walk.photos[0].regular);
	walk_release(&walk);
}

static void passes_over_hidden_names(void **state)
{
	(void)state;
	const char *root = sample((const char *[]){".a.jpg", ".b/c.jpg", "d.jpg", NULL});

	expect(root, &(struct walk_options){0}, "d.jpg");
	expect(root, &(struct walk_options){.rules.hidden = true}, ".a.jpg .b/c.jpg d.jpg");
}

static void never_takes_what_systems_keep(void **state)
{
	(void)state;
	const char *root = sample((const char *[]){"._a.jpg", "@eaDir/a.jpg/SYNOPHOTO_THUMB_M.jpg", ".thumbnails/b.jpg",
		".trash/c.jpg", ".Trash-1000/files/d.jpg",
						   "#recycle/e.jpg", "$RECYCLE.BIN/f.jpg", "lost+found/g.jpg", "kept.jpg", NULL});

	expect(root, &(struct walk_options){.rules.hidden = true}, "kept.jpg");
}

static void excludes_as_gitignore_does(void **state)
{
	(void)state;
	const char *root = sample((const char *[]){"a.jpg", "raw/b.jpg", "2019/raw/c.jpg", "2019/may/d.jpg",
		"2019/may/deep/e.jpg", "draft.png", "x/draft.png", NULL});
	static const struct {
		const char *glob, *left;
	} cases[] = {
		{"raw", "2019/may/d.jpg 2019/may/deep/e.jpg a.jpg draft.png x/draft.png"},
		{"raw/", "2019/may/d.jpg 2019/may/deep/e.jpg a.jpg draft.png x/draft.png"},
		{"/raw", "2019/may/d.jpg 2019/may/deep/e.jpg 2019/raw/c.jpg a.jpg draft.png x/draft.png"},
		{"*.png", "2019/may/d.jpg 2019/may/deep/e.jpg 2019/raw/c.jpg a.jpg raw/b.jpg"},
		{"draft.png/", "2019/may/d.jpg 2019/may/deep/e.jpg 2019/raw/c.jpg a.jpg draft.png raw/b.jpg x/draft.png"},
		{"*/draft.png", "2019/may/d.jpg 2019/may/deep/e.jpg 2019/raw/c.jpg a.jpg draft.png raw/b.jpg"},
		{"**/draft.png", "2019/may/d.jpg 2019/may/deep/e.jpg 2019/raw/c.jpg a.jpg raw/b.jpg"},
		{"2019/**/e.jpg", "2019/may/d.jpg 2019/raw/c.jpg a.jpg draft.png raw/b.jpg x/draft.png"},
		{"2019/**", "a.jpg draft.png raw/b.jpg x/draft.png"},
		{"**/may/*.jpg", "2019/may/deep/e.jpg 2019/raw/c.jpg a.jpg draft.png raw/b.jpg x/draft.png"},
		{"2019/*.jpg", "2019/may/d.jpg 2019/may/deep/e.jpg 2019/raw/c.jpg a.jpg draft.png raw/b.jpg x/draft.png"},
		{"201?/m[a-c]y", "2019/raw/c.jpg a.jpg draft.png raw/b.jpg x/draft.png"},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		print_message("%s\n", cases[i].glob);
		expect(root, &(struct walk_options){.rules.excludes = &cases[i].glob, .rules.exclude_count = 1}, cases[i].left);
	}
	const char *absolute = test_path(root, "2019/may");
	expect(root, &(struct walk_options){.rules.excludes = &absolute, .rules.exclude_count = 1},
		"2019/raw/c.jpg a.jpg draft.png raw/b.jpg x/draft.png");
}

static void says_of_a_path_whether_it_is_left_out(void **state)
{
	(void)state;
	const char *globs[] = {"raw/", "*.png"};
	const struct rules rules = {.excludes = globs, .exclude_count = 2};

	assert_true(rules_pass_over(&rules, "/r", "/r/a/raw/b.jpg"));
	assert_true(rules_pass_over(&rules, "/r", "/r/.a/b.jpg"));
	assert_true(rules_pass_over(&rules, "/r", "/r/a/b.png"));
	assert_false(rules_pass_over(&rules, "/r", "/r/a/raw"));
	assert_false(rules_pass_over(&rules, "/r/.hidden", "/r/.hidden/b.jpg"));
	assert_false(rules_pass_over(&rules, "/", "/a/b.jpg"));
	assert_true(rules_pass_over(&rules, "/", "/.a/b.jpg"));
}

static void does_not_follow_links_unless_told(void **state)
{
	(void)state;
	const char *root = sample((const char *[]){"real/a.jpg", "b.jpg", NULL});
	struct walk walk;

	assert_int_equal(symlink("b.jpg", test_path(root, "link.jpg")), 0);
	assert_int_equal(symlink("real", test_path(root, "album")), 0);
	assert_string_equal(tree_walk(root, &(struct walk_options){0}, &walk), "b.jpg real/a.jpg");
	assert_int_equal(walk.links, 1);
	walk_release(&walk);
	expect(root, &(struct walk_options){.rules.follow = true}, "b.jpg link.jpg real/a.jpg");
}

static void follows_a_loop_once(void **state)
{
	(void)state;
	const char *root = sample((const char *[]){"a/b/c.jpg", NULL});
	const char *outside = sample((const char *[]){"o.jpg", NULL});

	assert_int_equal(symlink("../..", test_path(root, "a/b/up")), 0);
	assert_int_equal(symlink(".", test_path(root, "self")), 0);
	assert_int_equal(symlink(outside, test_path(root, "z")), 0);
	assert_int_equal(symlink(outside, test_path(root, "y")), 0);
	assert_int_equal(symlink(root, test_path(outside, "back")), 0);
	assert_int_equal(symlink("nowhere.jpg", test_path(root, "n.jpg")), 0);
	expect(root, &(struct walk_options){.rules.follow = true}, "a/b/c.jpg n.jpg y/o.jpg");
}

static void names_what_is_not_regular(void **state)
{
	(void)state;
	const char *root = sample((const char *[]){"dir.jpg/a.jpg", NULL});
	struct walk walk;

	assert_int_equal(mkfifo(test_path(root, "pipe.jpg"), 0600), 0);
	assert_string_equal(tree_walk(root, &(struct walk_options){0}, &walk), "dir.jpg/a.jpg pipe.jpg");
	assert_true(walk.photos[0].regular);
	assert_false(walk.photos[1].regular);
	walk_release(&walk);
}

static void counts_formats_that_are_not_supported(void **state)
{
	(void)state;
	const char *root = sample((const char *[]){"a.JXL", "b.jxl", "c.crw", "d.psd", ".e.jxl", NULL});
	struct walk walk;
	size_t jxl = 0, all = 0;

	assert_string_equal(tree_walk(root, &(struct walk_options){0}, &walk), "");
	for (size_t i = 0; i < WALK_FORMATS; i++) {
		all += walk.unsupported[i];
		if (walk.unsupported[i] && strcmp(walk_format_name(i), "jxl") == 0)
			jxl = walk.unsupported[i];
	}
	assert_int_equal(jxl, 2);
	assert_int_equal(all, 4);
	walk_release(&walk);
}

static void takes_odd_names_as_bytes(void **state)
{
	(void)state;
	const char *root = sample((const char *[]){"\xff\xfe.jpg", "new\nline.jpg", "- -.jpg", "\xc3\xa9\xe2\x82\xac.jpg",
		"*?[.jpg", "a\\b.jpg", NULL});

	expect(root, &(struct walk_options){0}, "*?[.jpg - -.jpg a\\b.jpg new\nline.jpg \xc3\xa9\xe2\x82\xac.jpg \xff\xfe.jpg");
}

static void goes_deep(void **state)
{
	(void)state;
	const char *root = sample((const char *[]){"top.jpg", NULL});
	struct buffer path = {0};
	struct walk walk;

	buffer_text(&path, root);
	for (int i = 0; i < 1500; i++)
		buffer_text(&path, "/d");
	assert_ok(path_make_folder(path.data, &err), &err);
	buffer_text(&path, "/a.jpg");
	test_write(path.data, "x", 1);
	tree_walk(root, &(struct walk_options){0}, &walk);
	assert_int_equal(walk.count, 2);
	assert_string_equal(walk.photos[0].path, path.data);
	assert_ptr_equal(walk_find(&walk, path.data), &walk.photos[0]);
	assert_null(walk_find(&walk, root));
	walk_release(&walk);
	buffer_release(&path);
}

/* A path that open() cannot take is named, as is everything else that cannot be read. */
static void reports_what_is_too_deep(void **state)
{
	(void)state;
	const char *root = sample((const char *[]){"a.jpg", NULL});
	char name[201];
	struct walk walk;
	char *here = getcwd(NULL, 0);

	memset(name, 'd', 200);
	name[200] = '\0';
	assert_int_equal(chdir(root), 0);
	for (int i = 0; i < 25; i++) {
		assert_int_equal(mkdir(name, 0700), 0);
		assert_int_equal(chdir(name), 0);
	}
	assert_int_equal(chdir(here), 0);
	assert_string_equal(tree_walk(root, &(struct walk_options){0}, &walk), "a.jpg");
	assert_int_equal(walk.trouble_count, 1);
	walk_release(&walk);
	free(here);
}

static void reports_a_folder_that_cannot_be_read(void **state)
{
	(void)state;
	const char *root = sample((const char *[]){"a.jpg", "closed/b.jpg", NULL});
	const char *closed = test_path(root, "closed");
	char *base = mem_copy(root, strlen(root) - strlen("/root"));
	uid_t user = geteuid();
	struct walk walk;

	assert_int_equal(chmod(closed, 0), 0);
	assert_int_equal(chmod(base, 0755), 0);
	if (user == 0) /* who reads everything */
		assert_int_equal(seteuid(65534), 0);
	tree_walk(root, &(struct walk_options){0}, &walk);
	assert_int_equal(seteuid(user), 0);
	free(base);
	assert_int_equal(chmod(closed, 0700), 0);
	assert_int_equal(walk.count, 1);
	assert_int_equal(walk.trouble_count, 1);
	assert_string_equal(walk.troubles[0].path, closed);
	walk_release(&walk);
}

static void lists_overlapping_roots_once(void **state)
{
	(void)state;
	const char *root = sample((const char *[]){"a.jpg", "b/c.jpg", ".h/d.jpg", NULL});
	struct walk_options options = {0};
	struct walk walk = {0};

	assert_ok(walk_root(&walk, root, 0, &options, &err), &err);
	assert_ok(walk_root(&walk, test_path(root, ".h"), 1, &options, &err), &err);
	assert_ok(walk_root(&walk, test_path(root, "b"), 2, &options, &err), &err);
	walk_finish(&walk);
	assert_int_equal(walk.count, 3);
	assert_string_equal(walk.photos[0].path, test_path(root, ".h/d.jpg"));
	assert_int_equal(walk.photos[0].root, 1);
	assert_int_equal(walk.photos[2].root, 0);
	walk_release(&walk);
}

static void takes_a_single_file_as_root(void **state)
{
	(void)state;
	const char *root = sample((const char *[]){"photo", NULL});
	struct walk walk = {0};

	assert_ok(walk_root(&walk, test_path(root, "photo"), 0, &(struct walk_options){0}, &err), &err);
	assert_int_equal(walk.count, 1);
	assert_int_equal(walk_root(&walk, test_path(root, "nothing"), 1, &(struct walk_options){0}, &err), STATUS_NOT_FOUND);
	walk_release(&walk);
}

static void stops_when_interrupted(void **state)
{
	(void)state;
	const char *root = sample((const char *[]){"a.jpg", NULL});
	volatile sig_atomic_t interrupted = 1;
	struct walk walk = {0};

	assert_int_equal(walk_root(&walk, root, 0, &(struct walk_options){.interrupted = &interrupted}, &err), STATUS_INTERRUPTED);
	walk_release(&walk);
}

static void knows_what_lies_below_a_folder(void **state)
{
	(void)state;
	assert_true(path_below("/a/b", "/a/b/c"));
	assert_true(path_below("/a/b", "/a/b"));
	assert_true(path_below("/a/b/", "/a/b/c"));
	assert_true(path_below("/", "/a"));
	assert_false(path_below("/a/b", "/a/bc"));
	assert_false(path_below("/a/b", "/a"));
}

static void resolves_what_exists_of_a_path(void **state)
{
	(void)state;
	const char *root = sample((const char *[]){"b/c.jpg", NULL});
	const struct {
		const char *path, *resolved;
	} cases[] = {
		{"l", "b"}, {"l/", "b"}, {"l/c.jpg", "b/c.jpg"}, {"l/none/x.jpg", "b/none/x.jpg"}, {"none/", "none"}, {"l/../b", "b"},
	};

	assert_int_equal(symlink("b", test_path(root, "l")), 0);
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		char *path = path_resolve(test_path(root, cases[i].path));
		assert_string_equal(path, test_path(root, cases[i].resolved));
		free(path);
	}
	char *missing = path_resolve("/no such folder/at all/");
	assert_string_equal(missing, "/no such folder/at all");
	free(missing);
	char *here = getcwd(NULL, 0), *relative = path_resolve("no-such-file");
	assert_string_equal(relative, test_path(here, "no-such-file"));
	free(here);
	free(relative);
}

TEST_MAIN(cmocka_unit_test(knows_what_lies_below_a_folder), cmocka_unit_test(says_of_a_path_whether_it_is_left_out),
	  cmocka_unit_test(takes_photo_names_in_byte_order), cmocka_unit_test(tells_size_and_time),
		cmocka_unit_test(passes_over_hidden_names),
	  cmocka_unit_test(never_takes_what_systems_keep), cmocka_unit_test(excludes_as_gitignore_does),
	  cmocka_unit_test(does_not_follow_links_unless_told), cmocka_unit_test(follows_a_loop_once),
		cmocka_unit_test(names_what_is_not_regular),
	  cmocka_unit_test(counts_formats_that_are_not_supported), cmocka_unit_test(takes_odd_names_as_bytes),
		cmocka_unit_test(goes_deep),
	  cmocka_unit_test(reports_what_is_too_deep), cmocka_unit_test(reports_a_folder_that_cannot_be_read),
	  cmocka_unit_test(lists_overlapping_roots_once), cmocka_unit_test(takes_a_single_file_as_root),
		cmocka_unit_test(stops_when_interrupted),
	  cmocka_unit_test(resolves_what_exists_of_a_path))
