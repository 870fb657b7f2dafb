/* kernel_key.c: SHA-256 (NIST FIPS 180-4, section 6.2) and the key that it gives a kernel. */
#include "compiler/target/kernel_key.h"

#include <string.h>

enum { BLOCK = 64, ROUNDS = 64 };

/* The first 32 bits of the fractional parts of the cube roots of the first 64 primes. */
static const u32 round_constants[ROUNDS] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static u32
rotate(u32 x, unsigned by)
{
    return x >> by | x << (32 - by);
}

static u32
load_big_endian(const u8 *at)
{
    return (u32)at[0] << 24 | (u32)at[1] << 16 | (u32)at[2] << 8 | at[3];
}

static void
store_big_endian(u8 *at, u64 value, u32 bytes)
{
    for (u32 k = 0; k < bytes; k++)
        at[k] = (u8)(value >> (8 * (bytes - 1 - k)));
}

static void
take_block(u32 state[8], const u8 *block)
{
    u32 w[ROUNDS], s[8];
    for (u32 t = 0; t < 16; t++)
        w[t] = load_big_endian(block + 4 * t);
    for (u32 t = 16; t < ROUNDS; t++) {
        u32 a = w[t - 15], b = w[t - 2];
        w[t] = w[t - 16] + w[t - 7] + (rotate(a, 7) ^ rotate(a, 18) ^ a >> 3) +
               (rotate(b, 17) ^ rotate(b, 19) ^ b >> 10);
    }
    memcpy(s, state, sizeof s);
    for (u32 t = 0; t < ROUNDS; t++) {
        u32 first = s[7] + (rotate(s[4], 6) ^ rotate(s[4], 11) ^ rotate(s[4], 25)) +
                    ((s[4] & s[5]) ^ (~s[4] & s[6])) + round_constants[t] + w[t];
        u32 second = (rotate(s[0], 2) ^ rotate(s[0], 13) ^ rotate(s[0], 22)) +
                     ((s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]));
        memmove(s + 1, s, 7 * sizeof *s);
        s[4] += first;
        s[0] = first + second;
    }
    for (u32 k = 0; k < 8; k++)
        state[k] += s[k];
}

void
rxn__sha256(const void *data, size_t size, u8 ret_digest[KERNEL_KEY_BYTES])
{
    u32 state[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                    0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    const u8 *bytes = data;
    size_t left = size;
    for (; left >= BLOCK; left -= BLOCK, bytes += BLOCK)
        take_block(state, bytes);
    /* The rest, one bit, zeros, and the length in bits, in one block or two. */
    u8 last[2 * BLOCK] = {0};
    size_t blocks = left + 9 > BLOCK ? 2 : 1;
    if (left > 0)
        memcpy(last, bytes, left);
    last[left] = 0x80;
    store_big_endian(last + blocks * BLOCK - 8, (u64)size * 8, 8);
    for (size_t k = 0; k < blocks; k++)
        take_block(state, last + k * BLOCK);
    for (u32 k = 0; k < 8; k++)
        store_big_endian(ret_digest + 4 * k, state[k], 4);
}

void
rxn__kernel_key(const KirKernel *kernel, Arena *scratch, u8 ret_key[KERNEL_KEY_BYTES])
{
    Text text;
    rxn__text_init(&text, scratch);
    rxn__kir_print(kernel, &text);
    rxn__sha256(text.data, text.length, ret_key);
}

void
rxn__cuda_kernel_key(const RxnCudaKernel *kernel, Arena *scratch, u8 ret_key[KERNEL_KEY_BYTES])
{
    Text text;
    rxn__text_init(&text, scratch);
    rxn__text_printf(&text, "%s %u %u %u\n", kernel->fast_math ? "fast" : "exact", kernel->shape,
                     kernel->block_threads, kernel->uniform_threads);
    rxn__text_append(&text, kernel->source, kernel->source_length);
    rxn__sha256(text.data, text.length, ret_key);
}
