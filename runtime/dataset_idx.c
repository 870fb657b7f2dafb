/* dataset_idx.c: the header of an IDX file, the format of MNIST's (yann.lecun.com/exdb/mnist): two zeros, the type
 * of the elements, the number of extents, each extent in four bytes, the elements; all big-endian.
 */
#include "runtime/dataset_private.h"

enum { FIXED = 4, EXTENT = 4 }; /* bytes */

static bool
find_type(unsigned char code, RxnArrayType *ret_type)
{
    static const struct {
        unsigned char code;
        RxnArrayType type;
    } types[] = {{0x08, RXN_ARRAY_U8},  {0x09, RXN_ARRAY_I8},  {0x0B, RXN_ARRAY_I16},
                 {0x0C, RXN_ARRAY_I32}, {0x0D, RXN_ARRAY_F32}, {0x0E, RXN_ARRAY_F64}};
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        if (types[i].code == code) {
            *ret_type = types[i].type;
            return true;
        }
    }
    return false;
}

bool
rxn__data_idx(const DataBytes *bytes, DataLayout *ret_layout, const DataError *error)
{
    const unsigned char *data = bytes->data;
    *ret_layout = (DataLayout){.swapped = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__};
    /* Every byte that is there is looked at, so that what is no IDX file is not called a short one. */
    if (bytes->size > 1 && data[1] != 0)
        return rxn__data_fail(error, 0, 0,
                              "begins with a zero byte, so it is no text, but not as an IDX file "
                              "does, with two");
    if (bytes->size > 2 && !find_type(data[2], &ret_layout->type))
        return rxn__data_fail(error, 0, 0,
                              "begins as an IDX file, but of no known type of elements (0x%02X)",
                              data[2]);
    if (bytes->size > 3 && data[3] == 0)
        return rxn__data_fail(error, 0, 0, "is an IDX file without extents");
    if (bytes->size > 3 && data[3] > RXN_ARRAY_MAX_RANK)
        return rxn__data_fail(error, 0, 0,
                              "is an IDX file of %d extents; at most %d can be read: store it in "
                              "another shape",
                              data[3], RXN_ARRAY_MAX_RANK);
    if (bytes->size < FIXED || bytes->size < FIXED + (size_t)EXTENT * data[3])
        return rxn__data_fail(error, 0, 0,
                              "the IDX file is cut short in its header: get or make it again");
    ret_layout->rank = data[3];
    for (uint32_t k = 0; k < ret_layout->rank; k++) {
        const unsigned char *c = data + FIXED + EXTENT * k;
        ret_layout->extent[k] =
            (uint64_t)c[0] << 24 | (uint64_t)c[1] << 16 | (uint64_t)c[2] << 8 | c[3];
    }
    ret_layout->offset = FIXED + (size_t)EXTENT * ret_layout->rank;
    return true;
}
