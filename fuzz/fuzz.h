/*
 * fuzz: what the fuzz targets share.
 *
 * A target is one file with LLVMFuzzerTestOneInput. It is linked twice: with libFuzzer (HPO_FUZZ,
 * clang; `make fuzz`), which looks for inputs, and with replay_main.c (any compiler; `make check`),
 * which runs the stored corpus and a few thousand fixed mutations of it.
 *
 * Checksums would stop nearly every mutation, so targets run an input twice: as it comes, and
 * mended (mend.h): with every check, hash and chain made right again. Broken inputs test what
 * notices damage, mended ones everything behind it.
 */
#ifndef HPO_FUZZ_FUZZ_H
#define HPO_FUZZ_FUZZ_H

#include "os.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A broken promise: print, and stop so that libFuzzer keeps the input. */
_Noreturn void fuzz_fail(const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
#define FUZZ_REQUIRE(condition, ...)                    \
    do {                                                \
        if (!(condition))                               \
            fuzz_fail(__FILE__, __LINE__, __VA_ARGS__); \
    } while (0)

/* -- input as a row of choices; zeros behind its end -- */

struct fuzz_input {
    const uint8_t *at, *end;
};

bool fuzz_more(const struct fuzz_input *input);
uint8_t fuzz_u8(struct fuzz_input *input);
uint16_t fuzz_u16(struct fuzz_input *input);
uint32_t fuzz_u32(struct fuzz_input *input);
uint64_t fuzz_u64(struct fuzz_input *input);
uint32_t fuzz_below(struct fuzz_input *input, uint32_t bound); /* 0 .. bound - 1 */
/* Up to `size` bytes, fewer at the end; *got says how many. */
const uint8_t *fuzz_bytes(struct fuzz_input *input, size_t size, size_t *got);

/* -- memory: no allocation may be much larger than what is read -- */

/* From now on an allocation of more than 16 * input + fixed bytes through a bounded table is a
 * finding. */
void fuzz_bound(size_t input, size_t fixed);
/* The table `real`, bounded. It must not move. */
void fuzz_bounded(struct hpo_os *table, const struct hpo_os *real);
/* The system's table, bounded. */
const struct hpo_os *fuzz_os(void);

#endif
