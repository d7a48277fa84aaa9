/* identity.c: see identity.h. */
#include "schema/catalog/models.h"
#include "schema/catalog/identity.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "schema/base/file.h"
#include "schema/base/memory.h"

#include "schema/base/banned.h"

/* A file as catalog_digest_get knows it. */
struct dated {
	char path[PATH_MAX];
	struct digested_file is;
};

/* The real path, so that the same model is known from every working directory and through every link. */
static enum status find_file(const char *path, struct dated *file, struct err *err)
{
	struct stat st;

	if (!realpath(path, file->path) || stat(file->path, &st) != 0)
		return err_set(err, errno == ENOENT ? STATUS_NOT_FOUND : STATUS_IO, "cannot open '%s': %s", path, strerror(errno));
	file->is = (struct digested_file){file->path, st.st_size, (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec,
					  (int64_t)st.st_ctim.tv_sec * 1000000000 + st.st_ctim.tv_nsec, (int64_t)st.st_ino};
	return STATUS_OK;
}

/* Beside the weights as they were named, not as they resolve: download caches keep links to files of other names. */
static enum status find_config(const struct identity_source *source, struct dated *config, struct err *err)
{
	const char *slash = strrchr(source->weights_path, '/');
	char *folder = slash ? mem_copy(source->weights_path, (size_t)(slash - source->weights_path + 1)) : mem_copy(".", 1);
	char *path = folder ? path_join(folder, source->config_name) : NULL;
	enum status status = path ? find_file(path, config, err) : err_memory(err, "a path");

	free(path);
	free(folder);
	return status;
}

enum status identity_of_model(struct catalog *catalog, const struct identity_source *source, struct catalog_model *model,
			      struct err *err)
{
	struct dated weights, config;
	bool weights_known = false, config_known = false;
	enum status status = find_file(source->weights_path, &weights, err);

	if (status == STATUS_OK)
		status = find_config(source, &config, err);
	if (status == STATUS_OK)
		status = catalog_digest_get(catalog, &weights.is, model->weights_digest, &weights_known, err);
	if (status == STATUS_OK)
		status = catalog_digest_get(catalog, &config.is, model->config_digest, &config_known, err);
	if (status == STATUS_OK && !(weights_known && config_known)) {
		status = source->digest(source->model, model->config_digest, model->weights_digest, err);
		if (status == STATUS_OK)
			status = catalog_digest_put(catalog, &weights.is, model->weights_digest, err);
		if (status == STATUS_OK)
			status = catalog_digest_put(catalog, &config.is, model->config_digest, err);
	}
	return status == STATUS_OK ? catalog_model_put(catalog, model, err) : status;
}
