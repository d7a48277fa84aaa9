/* faiss.h: FAISS's C API. */
#ifndef SCHEMA_VECTORS_FAISS_H
#define SCHEMA_VECTORS_FAISS_H

/* Its headers declare functions as C++ does, without (void). */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wstrict-prototypes"
#include <faiss/c_api/IndexFlat_c.h>
#include <faiss/c_api/IndexIVF_c.h>
#include <faiss/c_api/Index_c.h>
#include <faiss/c_api/error_c.h>
#include <faiss/c_api/index_factory_c.h>
#include <faiss/c_api/index_io_c.h>
#pragma GCC diagnostic pop

#endif
