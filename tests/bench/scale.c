/* scale.c: how coca does with large libraries, which are made up here (made_up.h) and removed again.
 *
 *     build/tests/bench/scale [PHOTOS...]       a table for 10000 100000 1000000; FORMAT=json: JSON Lines {"name","photos","value","unit"}
 *
 * SCALE_DIR names the folder to work in (default $TMPDIR); a million photos need 3 GB and a million inodes there. What is measured is
 * build/coca itself, with the model that ships. Others use the machine, too: what is compared runs in turn, and figures are medians of
 * rounds.
 */
#include <dirent.h>
#include <ftw.h>
#include <stdarg.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

#include "model/net/coca.h"
#include "schema/catalog/models.h"
#include "schema/base/blas.h"
#include "tests/made_up.h"

#include "schema/base/banned.h"

enum { SIZES_MOST = 8, FIGURES_MOST = 64, ROUNDS = 5, ARGUMENTS_MOST = 16, DUPLICATES_MOST = 100000 };

struct figure {
	char name[96];
	const char *unit;
	double value[SIZES_MOST];
	bool known[SIZES_MOST];
};

/* One process. */
struct measured {
	double seconds, cpu, mib;                    /* cpu: user and system; mib: the most memory */
	double open, embed, find, rerank, match, list; /* ms, from --times */
};

struct scale {
	struct figure figures[FIGURES_MOST];
	size_t figure_count, size; /* size: which column */
	size_t photos;
	bool json;
	const char *program;
	char *work, *folder, *database, *output, *log;
	struct err err;
};

static void record(struct scale *s, const char *name, double value, const char *unit)
{
	size_t i = 0;

	while (i < s->figure_count && strcmp(s->figures[i].name, name) != 0)
		i++;
	if (i == FIGURES_MOST)
		return;
	if (i == s->figure_count) {
		s->figure_count++;
		snprintf(s->figures[i].name, sizeof s->figures[i].name, "%s", name);
		s->figures[i].unit = unit;
	}
	s->figures[i].value[s->size] = value;
	s->figures[i].known[s->size] = true;
	if (s->json)
		printf("{\"name\":\"%s\",\"photos\":%zu,\"value\":%.6g,\"unit\":\"%s\"}\n", name, s->photos, value, unit);
	else
		fprintf(stderr, "%9zu  %-60s %10.4g %s\n", s->photos, name, value, unit);
	fflush(stdout);
}

/* --- processes --- */

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double seconds_of(struct timeval t)
{
	return (double)t.tv_sec + 1e-6 * (double)t.tv_usec;
}

static bool wait_measured(pid_t pid, double start, struct measured *measured)
{
	struct rusage usage;
	int code;

	*measured = (struct measured){0};
	if (pid < 0 || wait4(pid, &code, 0, &usage) != pid)
		return false;
	measured->seconds = now() - start;
	measured->cpu = seconds_of(usage.ru_utime) + seconds_of(usage.ru_stime);
	measured->mib = (double)usage.ru_maxrss / 1024;
	return WIFEXITED(code) && (WEXITSTATUS(code) == 0 || WEXITSTATUS(code) == 3);
}

static void read_times(const char *log, struct measured *m)
{
	char line[512];
	FILE *file = fopen(log, "r");

	while (file && fgets(line, sizeof line, file))
		sscanf(line, "coca: open %lf ms, embed %lf, find %lf, rerank %lf, match %lf, list %lf", &m->open, &m->embed, &m->find, &m->rerank,
		       &m->match, &m->list);
	if (file)
		fclose(file);
}

/* words: behind "coca", until NULL. */
static bool run_coca(struct scale *s, const char *const *words, struct measured *measured)
{
	const char *argv[ARGUMENTS_MOST] = {s->program};
	double start = now();
	size_t n = 1;

	while (n < ARGUMENTS_MOST - 1 && words[n - 1]) {
		argv[n] = words[n - 1];
		n++;
	}
	pid_t pid = fork();
	if (pid == 0) {
		if (freopen(s->output, "w", stdout) && freopen(s->log, "w", stderr))
			execv(s->program, (char *const *)argv);
		_exit(127);
	}
	if (!wait_measured(pid, start, measured)) {
		err_set(&s->err, STATUS_FAILED, "coca %s failed: see '%s'", words[0], s->log);
		return false;
	}
	read_times(s->log, measured);
	return true;
}

static void walk(int fd)
{
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	const struct dirent *entry;
	struct stat st;

	while (dir && (entry = readdir(dir))) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
		    fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0)
			continue;
		if (S_ISDIR(st.st_mode))
			walk(openat(dirfd(dir), entry->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	}
	if (dir)
		closedir(dir);
}

/* All names read, each of them stat-ed, and nothing else. */
static bool run_walk(struct scale *s, struct measured *measured)
{
	double start = now();
	pid_t pid = fork();

	if (pid == 0) {
		walk(open(s->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
		_exit(0);
	}
	return wait_measured(pid, start, measured);
}

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static double median(double *values, size_t n)
{
	qsort(values, n, sizeof *values, ascending);
	return values[n / 2];
}

/* --- what is measured --- */

static bool measure_index(struct scale *s)
{
	const char *const words[] = {"index", s->folder, NULL};
	struct measured walked, indexed;
	double walks[ROUNDS], indexes[ROUNDS], ratios[ROUNDS], work[ROUNDS], most = 0;

	if (!run_coca(s, words, &indexed))
		return false;
	record(s, "index, nothing to do, first run after the library was made", 1e3 * indexed.seconds, "ms");
	record(s, "index, nothing to do, first run: memory", indexed.mib, "MiB");
	for (size_t i = 0; i < ROUNDS; i++) {
		if (!run_walk(s, &walked) || !run_coca(s, words, &indexed))
			return false;
		walks[i] = walked.seconds;
		indexes[i] = indexed.seconds;
		ratios[i] = indexed.seconds / walked.seconds;
		work[i] = indexed.cpu / walked.cpu;
		most = fmax(most, indexed.mib);
	}
	record(s, "walking and stat-ing alone", 1e3 * median(walks, ROUNDS), "ms");
	record(s, "index, nothing to do", 1e3 * median(indexes, ROUNDS), "ms");
	record(s, "index, nothing to do / walking and stat-ing alone", median(ratios, ROUNDS), "x");
	record(s, "index, nothing to do / walking alone, processor time", median(work, ROUNDS), "x");
	record(s, "index, nothing to do: memory", most, "MiB");
	return true;
}

static bool measure_search(struct scale *s, const char *name, const char *const *filter)
{
	const char *words[ARGUMENTS_MOST] = {"search", "a dog on a beach", "--no-rerank", "--times"};
	double finds[ROUNDS], most = 0;
	struct measured m;
	char label[96];

	for (size_t i = 0; filter[i]; i++)
		words[4 + i] = filter[i];
	for (size_t i = 0; i < ROUNDS; i++) {
		if (!run_coca(s, words, &m))
			return false;
		finds[i] = m.find + m.match + m.list;
		most = fmax(most, m.mib);
	}
	snprintf(label, sizeof label, "search%s", name);
	record(s, label, median(finds, ROUNDS), "ms");
	if (!*name) {
		record(s, "search: opening catalog and model", m.open, "ms");
		record(s, "search: embedding the query", m.embed, "ms");
		record(s, "search: memory", most, "MiB");
	}
	return true;
}

static bool measure_searches(struct scale *s)
{
	const char *const words[] = {"search", "a dog on a beach", "--no-rerank", "--times", NULL};
	uint64_t place = made_up_seed(5, made_up_seed(6, 0) % MADE_UP_PLACES);
	char near[64], year[4096];
	struct measured m;

	snprintf(near, sizeof near, "%.2f,%.2f,20", -50 + (double)(place % 11000) / 100, -180 + (double)(place / 11000 % 36000) / 100);
	snprintf(year, sizeof year, "%s/2014", s->folder);
	const struct {
		const char *name, *words[8];
	} filters[] = {
		{"", {NULL}},
		{" --in one year of 20", {"--in", year}},
		{" --since --until, a month", {"--since", "2014-05", "--until", "2014-05"}},
		{" --since, three quarters", {"--since", "2010"}},
		{" --camera, a twelfth", {"--camera", "nikon"}},
		{" --near, one place of 60", {"--near", near}},
		{" --text, one word", {"--text", "dog"}},
		{" --not-in one year of 20", {"--not-in", year}},
		{" --not-camera", {"--not-camera", "apple"}},
		{" --not-text", {"--not-text", "dog"}},
		{" --in --camera --near", {"--in", year, "--camera", "canon", "--near", near}},
		{" --since in the future: nothing passes", {"--since", "2090"}},
	};

	if (!run_coca(s, words, &m))
		return false;
	record(s, "search that makes the vector index", 1e3 * m.seconds, "ms");
	record(s, "search that makes the vector index: memory", m.mib, "MiB");
	for (size_t i = 0; i < sizeof filters / sizeof *filters; i++)
		if (!measure_search(s, filters[i].name, filters[i].words))
			return false;
	return true;
}

static bool measure_whole(struct scale *s, const char *name, const char *const *words, size_t rounds)
{
	double seconds[ROUNDS], most = 0;
	struct measured m;
	char label[96];

	for (size_t i = 0; i < rounds; i++) {
		if (!run_coca(s, words, &m))
			return false;
		seconds[i] = m.seconds;
		most = fmax(most, m.mib);
	}
	record(s, name, 1e3 * median(seconds, rounds), "ms");
	snprintf(label, sizeof label, "%s: memory", name);
	record(s, label, most, "MiB");
	return true;
}

static bool measure_rest(struct scale *s)
{
	char year[4096];

	snprintf(year, sizeof year, "%s/2014", s->folder);
	if (!measure_whole(s, "search --in one year, no query", (const char *const[]){"search", "--in", year, NULL}, ROUNDS) ||
	    !measure_whole(s, "status", (const char *const[]){"status", NULL}, ROUNDS))
		return false;
	if (s->photos <= DUPLICATES_MOST && !measure_whole(s, "duplicates", (const char *const[]){"duplicates", NULL}, 1))
		return false;
	return measure_whole(s, "forget one year of 20", (const char *const[]){"forget", year, NULL}, 1);
}

static double file_size(const char *database, const char *tail)
{
	struct buffer path = {0};
	struct stat st;

	buffer_format(&path, "%s%s", database, tail);
	double size = path.data && stat(path.data, &st) == 0 ? (double)st.st_size : 0;
	buffer_release(&path);
	return size / (1 << 20);
}

static void measure_disk(struct scale *s)
{
	record(s, "disk: catalog", file_size(s->database, "") + file_size(s->database, "-wal"), "MiB");
	record(s, "disk: vectors of photos", file_size(s->database, "-vectors-1.index"), "MiB");
	record(s, "disk: vectors of texts", file_size(s->database, "-texts-1.index"), "MiB");
}

/* --- the whole --- */

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static void tick(size_t done, size_t all)
{
	if (isatty(STDERR_FILENO))
		fprintf(stderr, "\rmaking %zu of %zu \r", done, all);
}

static enum status model_of(struct catalog_model *model, struct err *err)
{
	struct coca *coca;
	enum status status = coca_open("model/default", &coca, err);

	if (status != STATUS_OK)
		return status;
	const struct config *config = coca_config(coca);
	*model = (struct catalog_model){.name = "model/default", .dim = (int64_t)config->embed_dim, .tokens = (int64_t)config->image_tokens,
					.width = (int64_t)config->decoder.width};
	status = coca_digest(coca, model->config_digest, model->weights_digest, err);
	coca_close(coca);
	return status;
}

static bool measure(struct scale *s, struct catalog_model *model)
{
	char *real = NULL;
	bool done = false;

	if (!mkdtemp(s->work) || !(real = realpath(s->work, NULL))) {
		err_set(&s->err, STATUS_IO, "cannot make the folder '%s'", s->work);
		return false;
	}
	s->folder = path_join(real, "photos");
	s->database = path_join(real, "library.db");
	s->output = path_join(real, "output");
	s->log = path_join(real, "log");
	struct made_up m = {.database = s->database, .folder = s->folder, .photos = s->photos, .files = true, .tick = tick};
	if (s->folder && s->database && s->output && s->log) {
		setenv("COCA_DB", s->database, 1);
		double start = now();
		done = made_up_make(&m, model, &s->err) == STATUS_OK;
		if (done)
			record(s, "making the library", now() - start, "s");
		sync(); /* what is written out later would be someone else's time */
		done = done && measure_index(s) && measure_searches(s);
		measure_disk(s);
		done = done && measure_rest(s);
	}
	nftw(real, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	free(s->folder);
	free(s->database);
	free(s->output);
	free(s->log);
	free(real);
	return done;
}

static void print_table(const struct scale *s, const size_t *sizes, size_t n)
{
	printf("| |");
	for (size_t i = 0; i < n; i++)
		printf(" %zu |", sizes[i]);
	printf("\n|---|");
	for (size_t i = 0; i < n; i++)
		printf("---:|");
	for (size_t f = 0; f < s->figure_count; f++) {
		printf("\n| %s, %s |", s->figures[f].name, s->figures[f].unit);
		for (size_t i = 0; i < n; i++) {
			double value = s->figures[f].value[i];
			if (s->figures[f].known[i])
				printf(value >= 100 ? " %.0f |" : value >= 10 ? " %.1f |" : " %.2f |", value);
			else
				printf(" |");
		}
	}
	printf("\n");
}

int main(int argc, char **argv)
{
	const char *format = getenv("FORMAT"), *base = getenv("SCALE_DIR");
	size_t sizes[SIZES_MOST] = {10000, 100000, 1000000}, n = argc > 1 ? (size_t)argc - 1 : 3;
	struct scale s = {.json = format && strcmp(format, "json") == 0};
	struct catalog_model model = {0};
	struct buffer program = {0};
	bool done = true;

	blas_guard(argv, true);
	base = base && *base ? base : getenv("TMPDIR");
	for (size_t i = 0; i < n && argc > 1 && n <= SIZES_MOST; i++)
		done = done && (sizes[i] = strtoul(argv[1 + i], NULL, 10)) > 0;
	if (!done || n > SIZES_MOST) {
		fprintf(stderr, "usage: scale [PHOTOS...]\n");
		return 2;
	}
	buffer_format(&program, "%.*s../coca", (int)(strrchr(argv[0], '/') ? strrchr(argv[0], '/') + 1 - argv[0] : 0), argv[0]);
	s.program = program.data;
	unsetenv("COCA_MODEL");
	done = s.program && model_of(&model, &s.err) == STATUS_OK;
	for (size_t i = 0; i < n && done; i++) {
		s.size = i;
		s.photos = sizes[i];
		s.work = path_join(base && *base ? base : "/tmp", "coca-scale-XXXXXX");
		done = s.work && measure(&s, &model);
		free(s.work);
	}
	if (!done)
		fprintf(stderr, "scale: %s\n", s.err.text);
	else if (!s.json)
		print_table(&s, sizes, n);
	buffer_release(&program);
	return done ? 0 : 1;
}
