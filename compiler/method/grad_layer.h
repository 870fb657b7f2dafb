/* grad_layer.h: the pathwise adjoint of layered networks, in few numbers.
 *
 *     on   over g: 0 => H[g]  @ beta * sigmoid(h[g])
 *     off  over g: H[g] -> 0  @ gamma
 *     make over k: 0 => Y[k]  @ beta * sigmoid(c[k] + sum(g: V[k,g] * H[g]))
 *
 * Nothing depends on H but through the sums S_k = Σ_g V[k,g] H[g], and each H[g] decays at the same rate. Then the
 * adjoint of H has few directions:
 *
 *     λ_H[g] = Σ_k V[k,g] Λ_k                 (proof: both sides are 0 at the end, and obey the same equation)
 *     dΛ_k/ds = -gamma Λ_k + u_k,             u_k = (∂a_k/∂S_k) (ν_k · λ),      s = T - t
 *
 * so that 10 numbers go back instead of 256; an array like H is called compressed. What the functional reads of it,
 * H[3] or sum(g: v[g] * H[g]), is one more such sum, whose Λ grows by the weights of the observations instead of u.
 * With U_k(t) = ∫_t^T u_k:
 *
 *     gradient by a leaf w in the weights:  ∫ Σ_kg u_k H[g] ∂V[k,g]/∂w dt
 *                                             = Σ_kg ∂V[k,g]/∂w (H[g](0) U_k(0) + Σ_events of H[g] ν U_k(t_event)),
 *       each event adds one number for each k, and none of the 2,560 weights is touched by a wait;
 *     by a leaf of a law that is free of the state (h[g], in on):  ∂a/∂h · ν · ∫λ dt = ∂a_g/∂h Σ_k V[k,g] ∫Λ_k dt,
 *       once a trajectory;
 *     by a leaf of the decay's rate:  -∂gamma/∂p ∫ Σ_g λ_g H[g] dt = -∂gamma/∂p ∫ Σ_k Λ_k S_k dt.
 *
 * S is undone event by event, and now and then added up anew, so that rounding does not pile up.
 *
 * Which arrays are compressed is proved on the expressions (grad_layer_plan.c). The others keep a λ for each
 * species: both together are the coordinates, in which grad_family_path.c goes back. A network may have several
 * layers: λ of a compressed array stands in ν_k · λ as well.
 */
#ifndef RXN_METHOD_GRAD_LAYER_H
#define RXN_METHOD_GRAD_LAYER_H

#include "compiler/method/grad_family.h"

/* An index of a compressed array, as a sum over it has it: a bound variable plus a constant, or a constant. */
typedef struct LayerIndex {
    bool is_bound;
    u32 variable;
    i32 constant;
} LayerIndex;

#define LAYER_NO_COLUMN UINT32_MAX

/* Σ over `inner` of weight · species[index], one for each value of its variables; number k is QUANTITY k in laws. */
typedef struct LayerSum {
    u32 species;
    u32 variable_count, inner_count;
    u32 variables[RXN_MAX_RANK], inner[RXN_MAX_RANK];
    LayerIndex index[RXN_MAX_RANK];
    Expr weight;            /* of parameters, inputs, hoisted values and these variables */
    LeafDerivatives leaves; /* of the weight */
    u32 column;         /* of the recorder, if it is there that it is read; else LAYER_NO_COLUMN */
    u32 first, members; /* its place among all members of all sums */
    bool is_read;       /* its value is wanted: by a derivative, or for the rate of a decay */
} LayerSum;

typedef struct LayerArray {
    bool compressed;
    u32 members;                  /* compressed: of its sums, in all */
    Expr decay;                   /* compressed: dλ/ds = decay · λ + …; 0: it does not decay */
    LeafDerivatives decay_leaves; /* of `decay` */
    bool starts_empty;            /* the initial counts are the number 0 */
} LayerArray;

typedef struct Layer {
    Families *families;
    LayerArray *arrays; /* [species arrays] */
    u32 *places;        /* [species arrays]: coordinates of those that are not compressed */
    VEC(LayerSum) sums;
    u32 members;            /* of all sums */
    u32 dense, coordinates; /* those of species; and of the sums' members behind them */
    u32 sets;

    bool has_weight_leaves, has_decay_leaves, has_steady_leaves;

    /* Locals. */
    u32 value;     /* f64[members]: S */
    u32 influx;    /* f64[sets * members]: U */
    u32 area;      /* f64[sets * coordinates]: ∫ of the coordinates, from now to the end */
    u32 decayed;   /* f64[sets * arrays]: ∫ Σ Λ S */
    u32 worth;     /* f64 */
    u32 sum_again; /* i32: steps until S is added up anew; 0 at the end of the trajectory */
    u32 gradient;  /* of the caller: f64[sets * leaves] */
    u32 adjoint;   /* of the caller: f64[sets * coordinates] */
    u32 largest;   /* of the caller: f64 */

    /* Constant buffers: what a reaction changes in compressed arrays, `slots` entries for each. */
    u32 slots, change_array, change_member, change_delta;
} Layer;

/* Decides, and brings laws (and the recorder's columns: kept[k], their derivatives by species) to the new
 * coordinates. `whole`: no array is compressed. */
void rxn__layer_plan(Layer *layer, Families *families, LeafDerivatives *kept, u32 kept_count,
                     bool whole);

/* A remark, or NULL, with what was compressed behind it. */
const char *rxn__layer_remark(const Layer *layer, const char *remark);

/* Whether the leaves of this law are dealt with once a trajectory. */
bool rxn__layer_is_steady(const Layer *layer, const FamilyLaw *law);

/* ---- In the kernel (grad_layer.c) ------------------------------------------------------------------ */

/* adjoint, gradient and largest have to be set. */
void rxn__layer_declare(Layer *layer, u32 sets);

/* Where a flat species (of an array that is not compressed) stands among the coordinates. */
u32 rxn__layer_place(const Layer *layer, u32 flat);

/* The coordinate (i32) of the member of the sum that is the leaf of `entry`, for the variables that are bound. */
KirValue rxn__layer_coordinate(Layer *layer, const LeafDerivative *entry);

/* Makes QUANTITY leaves the present values of the sums. */
void rxn__layer_bind(Layer *layer);

/* ν · λ of the member that is bound, λ in coordinates: local[base + …]; base: i32, or 0. absolute: Σ |ν| |weight|. */
KirValue rxn__layer_worth(Layer *layer, const FamilyLaw *law, u32 local, KirValue base,
                          bool absolute);

/* to[…] += decay · from[…] for the coordinates of the sums (absolute: |decay| alone); both f64[coordinates]. */
void rxn__layer_decay(Layer *layer, u32 to, u32 from, bool absolute);

/* to[first + …] += weight for the sums that stand for this column; first: i32. */
void rxn__layer_observe(Layer *layer, u32 column, u32 to, KirValue first, KirValue weight);

/* The counts are those before the reaction `code` (u32; reaction_count: none): the sums' values follow, and weights
 * get their share. */
void rxn__layer_undo(Layer *layer, KirValue code);

/* A wait of this length with this mean of λ (f64[coordinates]) has been crossed by a set (i32); influx: below. */
void rxn__layer_wait(Layer *layer, KirValue set, u32 mean, KirValue length);

/* U of the sum that is the leaf of `entry` grows by `amount`. */
void rxn__layer_influx(Layer *layer, const LeafDerivative *entry, KirValue set, KirValue amount);

/* At the start of the trajectory again. */
void rxn__layer_finish(Layer *layer);

#endif
