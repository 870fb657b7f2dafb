/* philox.c: the random numbers of every kernel.
 *
 * Philox4x32-10: John Salmon, Mark Moraes, Ron Dror, David Shaw, "Parallel random numbers: as easy as
 * 1, 2, 3", SC 2011, section 3.3. It is a keyed bijection of 128-bit counters: the block for (key,
 * counter) is known without any block before it, so nothing random is stored and a trajectory's
 * noise can be replayed.
 */
#include "compiler/kir/internal.h"

/* The multipliers and the Weyl constants (golden ratio and sqrt(3) - 1, in 32 bits) of the paper. */
static const u32 philox_multiplier[2] = {0xD2511F53, 0xCD9E8D57};
static const u32 philox_weyl[2] = {0x9E3779B9, 0xBB67AE85};

/* Round by round, not block by block: a round waits for the one before, and only the other blocks can be computed
 * meanwhile, which the processor does not see unless they are near. */
void
rxn__kir_philox_rounds(KirBuilder *builder, const KirValue key[2], u32 first, u32 end, u32 blocks,
                       KirValue (*words)[4])
{
    const KirValue m[2] = {rxn__kir_const_bits(builder, KIR_U32, philox_multiplier[0]),
                           rxn__kir_const_bits(builder, KIR_U32, philox_multiplier[1])};
    for (u32 round = first; round < end; round++) {
        KirValue k[2];
        for (u32 i = 0; i < 2; i++)
            k[i] = kir_add(builder, key[i],
                           rxn__kir_const_bits(builder, KIR_U32, round * philox_weyl[i]));
        for (u32 block = 0; block < blocks; block++) {
            KirValue *c = words[block];
            const KirValue high0 = kir_mulhi(builder, c[0], m[0]);
            const KirValue low0 = kir_mul(builder, c[0], m[0]);
            const KirValue high1 = kir_mulhi(builder, c[2], m[1]);
            const KirValue low1 = kir_mul(builder, c[2], m[1]);
            c[0] = kir_xor(builder, kir_xor(builder, high1, c[1]), k[0]);
            c[1] = low1;
            c[2] = kir_xor(builder, kir_xor(builder, high0, c[3]), k[1]);
            c[3] = low0;
        }
    }
}

void
rxn__kir_philox_blocks(KirBuilder *builder, const KirValue key[2], u32 blocks, KirValue (*words)[4])
{
    rxn__kir_philox_rounds(builder, key, 0, KIR_PHILOX_ROUNDS, blocks, words);
}

void
rxn__kir_philox(KirBuilder *builder, const KirValue key[2], const KirValue counter[4],
                KirValue ret_words[4])
{
    KirValue words[1][4] = {{counter[0], counter[1], counter[2], counter[3]}};
    rxn__kir_philox_blocks(builder, key, 1, words);
    for (u32 i = 0; i < 4; i++)
        ret_words[i] = words[0][i];
}
