/* samples_private.h: between the files of samples.h. */
#ifndef RXN_ENGINE_SAMPLES_PRIVATE_H
#define RXN_ENGINE_SAMPLES_PRIVATE_H

#include "compiler/engine/samples.h"
#include "runtime/dataset.h"
#include "runtime/sample_gradient.h"

typedef struct SampleArray {
    RxnArray array;
    u32 flat; /* of the input's first element */
} SampleArray;

struct Samples {
    u64 rows;
    u32 count;
    SampleArray arrays[];
};

/* ---- samples_map.c: from the leaves of the gradient to parameters ------------------------------------ */

typedef struct SampleFactor {
    Expr value;
    bool over; /* 1 / value */
} SampleFactor;

typedef VEC(SampleFactor) SampleFactors;

/* What a RxnSampleProduct is computed from: h[e] = Σ_b W[e,b] · by_element · by_term · of_inputs. */
typedef struct SampleProduct {
    u32 hoisted;
    LeafDerivative entry;
    double number;
    SampleFactors by_element, by_term, of_inputs;
    double *element_factor, *term_factor; /* NULL: 1 */
} SampleProduct;

/* What is no such product: an entry of a hoisted value's derivatives as it is. */
typedef struct SampleOther {
    u32 hoisted, first; /* its first leaf */
    LeafDerivative entry;
    bool per_row; /* it reads inputs */
} SampleOther;

typedef struct SampleMap {
    Grad *grad;
    u32 *leaf_parameter;
    VEC(RxnSampleProduct) products;
    VEC(SampleProduct) origins; /* of the products */
    VEC(SampleOther) others;
    i64 *variables;
} SampleMap;

/* Takes the kernel's leaves apart. NULL, or what is broken (a bug of ours). */
const char *rxn__sample_map_make(SampleMap *map, Grad *grad, const GradientKernel *kernel);

/* Factors of parameters, at the values of now. */
void rxn__sample_map_update(SampleMap *map);

/* As the functions of RxnSampleSpec; context: the map. */
void rxn__sample_map_terms(void *context, u32 product, const double *inputs, double *ret_terms);
void rxn__sample_map_others(void *context, const double *inputs, const double *leaves,
                            double *gradient);

#endif
