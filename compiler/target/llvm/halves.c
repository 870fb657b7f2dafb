/* halves.c: vectors of 32-bit words that are multiplied in full, kept as two vectors of 64-bit numbers.
 *
 * The processor multiplies the even-numbered 32-bit elements of two registers into 64-bit products (vpmuludq). To
 * have both halves of the products of all elements, those of the even and of the odd ones are formed apart; and to
 * put each half together again takes a shuffle. But who reads them multiplies again, after an exclusive or, as the
 * rounds of Philox do, and needs them apart. So such words stay apart, from the first product to the last:
 *
 *     even = (x0, x2, …)   odd = (x1, x3, …)      each in the lower half of 64 bits; what is above is anything
 *
 *     %3 = mul.u32 %1, %2      even = even1 * even2          odd = odd1 * odd2           (of the lower halves)
 *     %4 = mulhi.u32 %1, %2    even = even1 * even2 >> 32    odd = odd1 * odd2 >> 32
 *     %5 = xor.u32 %4, %6      even = even4 ^ even6          odd = odd4 ^ odd6
 *
 * For any other op the two are put together. That is written for each of them, and LLVM removes it where nobody wants
 * it. A round is then two multiplications, two shifts and two exclusive ors of three operands for eight lanes, and none
 * of them moves anything from lane to lane.
 */
#include "compiler/target/llvm/llvm.h"

static LLVMTypeRef
wide_type(const Emit *e)
{
    return LLVMVectorType(e->i64, e->lanes / 2);
}

static LLVMValueRef
wide_constant(const Emit *e, u64 bits)
{
    LLVMValueRef items[32];
    for (u32 i = 0; i < e->lanes / 2; i++)
        items[i] = LLVMConstInt(e->i64, bits, false);
    return LLVMConstVector(items, e->lanes / 2);
}

static LLVMValueRef
upper(Emit *e, LLVMValueRef wide)
{
    return LLVMBuildLShr(e->builder, wide, wide_constant(e, 32), "");
}

static LLVMValueRef
lower(Emit *e, LLVMValueRef wide)
{
    return LLVMBuildAnd(e->builder, wide, wide_constant(e, 0xffffffffu), "");
}

static Halves
halves_of(Emit *e, KirValue value)
{
    if (e->halves[value].even != NULL)
        return e->halves[value];
    LLVMValueRef words = rxn__llvm_lanes_of(e, value);
    LLVMValueRef wide = LLVMBuildBitCast(e->builder, words, wide_type(e), "");
    return (Halves){wide, e->layout->uniform[value] ? wide : upper(e, wide)};
}

/* Put together by a shuffle: a shift of a product LLVM would take into its multiplication, then one of 64 bits. */
static LLVMValueRef
define(Emit *e, KirValue value, Halves halves)
{
    LLVMBuilderRef b = e->builder;
    LLVMTypeRef narrow = e->vector[KIR_U32];
    LLVMValueRef places[64];
    for (u32 i = 0; i < e->lanes; i++)
        places[i] = LLVMConstInt(e->i32, i % 2 ? e->lanes + i - 1 : i, false);
    e->halves[value] = halves;
    LLVMValueRef even = LLVMBuildBitCast(b, halves.even, narrow, "");
    LLVMValueRef odd = LLVMBuildBitCast(b, halves.odd, narrow, "");
    return LLVMBuildShuffleVector(b, even, odd, LLVMConstVector(places, e->lanes), "");
}

static LLVMValueRef
product(Emit *e, LLVMValueRef x, LLVMValueRef y)
{
    return LLVMBuildMul(e->builder, lower(e, x), lower(e, y), "");
}

/* Once for a `mul` and the `mulhi` of the same operands: of a product of which LLVM sees only the lower half used it makes one
 * of 64 bits, which is three times as much work. */
static Halves
products(Emit *e, KirValue value, Halves x, Halves y)
{
    if (e->products[value].even && rxn__llvm_scope_is_open(e, e->product_scope[value]))
        return e->products[value];
    Halves result = {product(e, x.even, y.even), product(e, x.odd, y.odd)};
    KirValue twin = e->layout->product_twin[value];
    e->products[twin] = result;
    e->product_scope[twin] = e->open_scopes.items[e->open_scopes.count - 1];
    return result;
}

static bool
is_vector_of_words(const Emit *e, const KirNode *node, KirValue value)
{
    return node->type == KIR_U32 && e->lanes >= 4 && !e->layout->uniform[value];
}

LLVMValueRef
rxn__llvm_emit_halves(Emit *e, KirValue value)
{
    const KirNode *node = &e->kernel->values.items[value];
    if (!is_vector_of_words(e, node, value))
        return NULL;
    KirValue x = node->args[0], y = node->args[1];
    bool is_product = node->op == KIR_MULHI || e->layout->product_twin[value];
    bool is_xor = node->op == KIR_XOR && (e->halves[x].even || e->halves[y].even);
    if (!is_product && !is_xor)
        return NULL;
    Halves a = halves_of(e, x), b = halves_of(e, y), result;
    if (is_xor) {
        result.even = LLVMBuildXor(e->builder, a.even, b.even, "");
        result.odd = LLVMBuildXor(e->builder, a.odd, b.odd, "");
    } else {
        result = products(e, value, a, b);
        if (node->op == KIR_MULHI)
            result = (Halves){upper(e, result.even), upper(e, result.odd)};
    }
    return define(e, value, result);
}
