/* conserve.c: conserved quantities. Sums of species, with whole coefficients, that no reaction
 * changes:
 *
 *     2 M -> D,  D -> 2 M        law 1 M 2 D            (M + 2 D stays what it was)
 *
 * They are the vectors x with x·v = 0 for every change v that some reaction makes: the left null
 * space of the stoichiometric matrix. Events may break a law; it holds from one event to the next.
 *
 * Three steps, all in whole numbers:
 * 1. The different changes, as sparse primitive rows, are brought to echelon form (Gauss without
 *    fractions: each step multiplies crosswise and divides by the common divisor), then fully
 *    reduced.
 * 2. Each column without a pivot gives one vector of the null space; together they are a basis.
 * 3. A basis found so may have mixed signs (S − E + P), which is right but tells a reader little.
 *    For networks that are small enough the vectors without negative entries and with least support
 *    are computed as well (Farkas; see J. Colom, M. Silva, "Convex geometry and semiflows in P/T
 *    nets", LNCS 483, 1991, algorithm 1), and as many of them as are independent go first.
 *
 * The work is bounded: beyond MAX_SPECIES, or where numbers outgrow 64 bits or the work its budget,
 * the laws are skipped and the network says so.
 */
#include "compiler/network/internal.h"

#include <stdlib.h>
#include <string.h>

enum {
    MAX_SPECIES = 2000,
    MAX_MEMBERS = 1000000,    /* reactions looked at */
    WORK_BUDGET = 8000000,    /* entries touched by elimination */
    MAX_FARKAS_SPECIES = 192, /* 64 * FARKAS_WORDS */
    FARKAS_WORDS = 3,
    MAX_FARKAS_ROWS = 1024,
    FARKAS_BUDGET = 4000000,
};

typedef struct Entry {
    u32 column;
    i64 value;
} Entry;

typedef struct Row {
    u32 count;
    Entry *entries; /* by column */
} Row;

/* Rows in echelon form: row_of[c] has its first entry in column c. */
typedef struct Echelon {
    Arena *arena;
    u32 columns, rank;
    Row *row_of; /* count 0: no pivot in this column */
    u64 work;
    bool failed; /* overflow or out of budget */
} Echelon;

/* ---- Rows ------------------------------------------------------------------------------------ */

static u64
greatest_divisor(u64 a, u64 b)
{
    while (b != 0) {
        u64 rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

static u64
size_of(i64 value)
{
    return value < 0 ? 0 - (u64)value : (u64)value;
}

/* Divides by the common divisor and makes the first entry positive. */
static void
normalise(Row *row)
{
    u64 divisor = 0;
    for (u32 i = 0; i < row->count && divisor != 1; i++)
        divisor = greatest_divisor(divisor, size_of(row->entries[i].value));
    if (divisor == 0)
        return;
    i64 factor = (i64)divisor;
    if (row->entries[0].value < 0)
        factor = -factor;
    if (factor != 1)
        for (u32 i = 0; i < row->count; i++)
            row->entries[i].value /= factor;
}

static bool
scaled_difference(i64 a, i64 p, i64 b, i64 q, i64 *ret)
{
    i64 x, y;
    return !__builtin_mul_overflow(a, p, &x) && !__builtin_mul_overflow(b, q, &y) &&
           !__builtin_sub_overflow(x, y, ret) && *ret != INT64_MIN;
}

/* row * pivot(row2) - row2 * row[column], divided by the common divisor: has no entry in `column`.
 * */
static Row
eliminate(Echelon *echelon, Row row, u32 at, Row other, u32 other_at)
{
    i64 a = row.entries[at].value, b = other.entries[other_at].value;
    i64 divisor = (i64)greatest_divisor(size_of(a), size_of(b));
    i64 p = b / divisor, q = a / divisor;
    Row result = {.entries = NEW_ARRAY(echelon->arena, Entry, row.count + other.count)};
    u32 i = 0, j = 0;
    echelon->work += row.count + other.count;
    while (i < row.count || j < other.count) {
        u32 column, left = i < row.count ? row.entries[i].column : UINT32_MAX;
        u32 right = j < other.count ? other.entries[j].column : UINT32_MAX;
        i64 x = 0, y = 0, value;
        column = left < right ? left : right;
        if (left == column)
            x = row.entries[i++].value;
        if (right == column)
            y = other.entries[j++].value;
        if (!scaled_difference(x, p, y, q, &value)) {
            echelon->failed = true;
            return (Row){0};
        }
        if (value != 0)
            result.entries[result.count++] = (Entry){column, value};
    }
    normalise(&result);
    return result;
}

/* Reduces a row by those that are there and keeps what is left of it. Returns whether it was
 * independent. */
static bool
echelon_add(Echelon *echelon, Row row)
{
    while (row.count > 0 && !echelon->failed) {
        Row *pivot = &echelon->row_of[row.entries[0].column];
        if (pivot->count == 0) {
            *pivot = row;
            echelon->rank++;
            return true;
        }
        row = eliminate(echelon, row, 0, *pivot, 0);
        if (echelon->work > WORK_BUDGET)
            echelon->failed = true;
    }
    return false;
}

/* Clears every pivot's column in the rows of the others. */
static void
echelon_reduce(Echelon *echelon)
{
    for (u32 c = echelon->columns; c-- > 0 && !echelon->failed;) {
        Row *row = &echelon->row_of[c];
        for (u32 i = 1; i < row->count && !echelon->failed;) {
            const Row *other = &echelon->row_of[row->entries[i].column];
            if (other->count == 0) {
                i++;
                continue;
            }
            *row = eliminate(echelon, *row, i, *other, 0);
            if (echelon->work > WORK_BUDGET)
                echelon->failed = true;
        }
    }
}

static Echelon
echelon_new(Arena *arena, u32 columns)
{
    return (Echelon){.arena = arena, .columns = columns, .row_of = NEW_ARRAY(arena, Row, columns)};
}

/* ---- The changes ----------------------------------------------------------------------------- */

typedef struct RowSet {
    Arena *arena;
    VEC(Row) rows;
    u32 *slots, slot_count;
} RowSet;

static bool
rows_equal(Row a, Row b)
{
    if (a.count != b.count)
        return false;
    for (u32 i = 0; i < a.count; i++)
        if (a.entries[i].column != b.entries[i].column || a.entries[i].value != b.entries[i].value)
            return false;
    return true;
}

static u32
row_hash(Row row)
{
    u64 h = row.count;
    for (u32 i = 0; i < row.count; i++)
        h = hash_mix(hash_mix(h, row.entries[i].column), (u64)row.entries[i].value);
    return (u32)h;
}

static u32
row_slot(const RowSet *set, Row row)
{
    u32 mask = set->slot_count - 1, slot = row_hash(row) & mask;
    while (set->slots[slot] != 0 && !rows_equal(set->rows.items[set->slots[slot] - 1], row))
        slot = (slot + 1) & mask;
    return slot;
}

static void
row_set_add(RowSet *set, u32 count, const Change *changes)
{
    if ((set->rows.count + 1) * 2 > set->slot_count) {
        set->slot_count = set->slot_count == 0 ? 64 : set->slot_count * 2;
        set->slots = NEW_ARRAY(set->arena, u32, set->slot_count);
        for (u32 i = 0; i < set->rows.count; i++)
            set->slots[row_slot(set, set->rows.items[i])] = i + 1;
    }
    Row row = {.count = count, .entries = NEW_ARRAY(set->arena, Entry, count)};
    for (u32 i = 0; i < count; i++)
        row.entries[i] = (Entry){changes[i].species, changes[i].delta};
    normalise(&row);
    u32 slot = row_slot(set, row);
    if (set->slots[slot] != 0)
        return;
    vec_push(set->arena, &set->rows, row);
    set->slots[slot] = set->rows.count;
}

static int
compare_lengths(const void *a, const void *b)
{
    const Row *x = a, *y = b;
    if (x->count != y->count)
        return x->count < y->count ? -1 : 1;
    for (u32 i = 0; i < x->count; i++) {
        const Entry *p = &x->entries[i], *q = &y->entries[i];
        if (p->column != q->column)
            return p->column < q->column ? -1 : 1;
        if (p->value != q->value)
            return p->value < q->value ? -1 : 1;
    }
    return 0;
}

/* All different changes, short ones first: they make the sparsest pivots. */
static RowSet
collect_changes(const Network *network, Arena *arena)
{
    RowSet set = {.arena = arena};
    Change *changes = NEW_ARRAY(arena, Change, network->species_count);
    for (u32 i = 0; i < network->reactions.count; i++) {
        const Reaction *reaction = &network->reactions.items[i];
        for (u32 member = 0; member < reaction->count; member++) {
            u32 count =
                rxn__reaction_changes(network, reaction, member, network->species_count, changes);
            if (count > 0)
                row_set_add(&set, count, changes);
        }
    }
    if (set.rows.count > 1)
        qsort(set.rows.items, set.rows.count, sizeof *set.rows.items, compare_lengths);
    return set;
}

/* ---- The null space -------------------------------------------------------------------------- */

typedef VEC(Row) RowList;

/* The vector of the null space that is one in the free column `column`, scaled to whole numbers. */
static Row
null_vector(Echelon *echelon, u32 column, const RowList *with_entry)
{
    Row vector = {.entries = NEW_ARRAY(echelon->arena, Entry, with_entry->count + 1)};
    i64 scale = 1;
    for (u32 i = 0; i < with_entry->count; i++) {
        Row row = with_entry->items[i];
        u32 at = 0;
        while (row.entries[at].column != column)
            at++;
        u64 pivot = size_of(row.entries[0].value);
        u64 needed = pivot / greatest_divisor(pivot, size_of(row.entries[at].value));
        u64 factor = needed / greatest_divisor(needed, (u64)scale);
        echelon->work += at;
        if (__builtin_mul_overflow(scale, (i64)factor, &scale)) {
            echelon->failed = true;
            return vector;
        }
    }
    bool placed = false;
    for (u32 i = 0; i < with_entry->count; i++) {
        Row row = with_entry->items[i];
        u32 at = 0;
        while (row.entries[at].column != column)
            at++;
        if (!placed && row.entries[0].column > column) {
            vector.entries[vector.count++] = (Entry){column, scale};
            placed = true;
        }
        i64 value;
        if (__builtin_mul_overflow(row.entries[at].value, scale, &value)) {
            echelon->failed = true;
            return vector;
        }
        vector.entries[vector.count++] =
            (Entry){row.entries[0].column, -(value / row.entries[0].value)};
    }
    if (!placed)
        vector.entries[vector.count++] = (Entry){column, scale};
    normalise(&vector);
    return vector;
}

static RowList
null_space(Echelon *echelon)
{
    RowList *rows_with = NEW_ARRAY(echelon->arena, RowList, echelon->columns);
    RowList vectors = {0};
    for (u32 c = 0; c < echelon->columns; c++) {
        Row row = echelon->row_of[c];
        for (u32 i = 1; i < row.count; i++)
            vec_push(echelon->arena, &rows_with[row.entries[i].column], row);
    }
    for (u32 c = 0; c < echelon->columns && !echelon->failed; c++)
        if (echelon->row_of[c].count == 0) {
            Row vector = null_vector(echelon, c, &rows_with[c]);
            vec_push(echelon->arena, &vectors, vector);
        }
    return vectors;
}

/* ---- Vectors without negative entries -------------------------------------------------------- */

typedef struct FarkasRow {
    i64 *left;  /* what is still to be made zero: one number for each row of the echelon */
    i64 *right; /* the vector, one number for each species */
    u64 support[FARKAS_WORDS];
} FarkasRow;

typedef struct Farkas {
    Arena *arena;
    u32 left_count, right_count;
    VEC(FarkasRow) rows;
    u64 work;
} Farkas;

static bool
support_within(const FarkasRow *a, const FarkasRow *b)
{
    for (u32 i = 0; i < FARKAS_WORDS; i++)
        if (a->support[i] & ~b->support[i])
            return false;
    return true;
}

/* p*a + q*b, both factors positive; false on overflow. */
static bool
farkas_combine(Farkas *farkas, const FarkasRow *a, const FarkasRow *b, u32 column, FarkasRow *ret)
{
    u64 x = size_of(a->left[column]), y = size_of(b->left[column]),
        divisor = greatest_divisor(x, y);
    i64 p = (i64)(y / divisor), q = -(i64)(x / divisor);
    u32 total = farkas->left_count + farkas->right_count;
    i64 *numbers = NEW_ARRAY(farkas->arena, i64, total);
    u64 common = 0;
    for (u32 i = 0; i < total; i++) {
        /* left and right lie one behind the other */
        if (!scaled_difference(a->left[i], p, b->left[i], q, &numbers[i]))
            return false;
        common = greatest_divisor(common, size_of(numbers[i]));
    }
    *ret = (FarkasRow){.left = numbers, .right = numbers + farkas->left_count};
    for (u32 i = 0; i < total && common > 1; i++)
        numbers[i] /= (i64)common;
    for (u32 i = 0; i < farkas->right_count; i++)
        if (ret->right[i] != 0)
            ret->support[i / 64] |= (u64)1 << (i % 64);
    farkas->work += total;
    return true;
}

/* The column that makes the fewest combinations. */
static u32
farkas_pick(const Farkas *farkas, const bool *done)
{
    u32 best = UINT32_MAX;
    u64 least = UINT64_MAX;
    for (u32 c = 0; c < farkas->left_count; c++) {
        if (done[c])
            continue;
        u64 positive = 0, negative = 0;
        for (u32 i = 0; i < farkas->rows.count; i++) {
            positive += farkas->rows.items[i].left[c] > 0;
            negative += farkas->rows.items[i].left[c] < 0;
        }
        if (positive * negative < least) {
            least = positive * negative;
            best = c;
        }
    }
    return best;
}

/* Replaces the rows by those combinations that are zero in the column. */
static bool
farkas_clear(Farkas *farkas, u32 column)
{
    VEC(FarkasRow) kept = {0};
    for (u32 i = 0; i < farkas->rows.count; i++)
        if (farkas->rows.items[i].left[column] == 0)
            vec_push(farkas->arena, &kept, farkas->rows.items[i]);
    for (u32 i = 0; i < farkas->rows.count; i++) {
        for (u32 j = 0; j < farkas->rows.count; j++) {
            const FarkasRow *a = &farkas->rows.items[i], *b = &farkas->rows.items[j];
            if (a->left[column] <= 0 || b->left[column] >= 0)
                continue;
            FarkasRow sum;
            if (!farkas_combine(farkas, a, b, column, &sum) || farkas->work > FARKAS_BUDGET)
                return false;
            bool minimal = true;
            for (u32 k = 0; k < kept.count && minimal; k++)
                minimal = !support_within(&kept.items[k], &sum);
            if (!minimal)
                continue;
            u32 rest = 0;
            for (u32 k = 0; k < kept.count; k++)
                if (!support_within(&sum, &kept.items[k]))
                    kept.items[rest++] = kept.items[k];
            kept.count = rest;
            vec_push(farkas->arena, &kept, sum);
            farkas->work += kept.count;
            if (kept.count > MAX_FARKAS_ROWS)
                return false;
        }
    }
    farkas->rows.items = kept.items;
    farkas->rows.count = kept.count;
    farkas->rows.capacity = kept.capacity;
    return true;
}

/* The vectors of least support without negative entries; empty where that is too much work. */
static RowList
farkas_vectors(const Echelon *echelon, Arena *arena)
{
    RowList vectors = {0};
    if (echelon->columns > MAX_FARKAS_SPECIES)
        return vectors;
    Farkas farkas = {.arena = arena, .left_count = echelon->rank, .right_count = echelon->columns};
    for (u32 s = 0; s < echelon->columns; s++) {
        FarkasRow row = {.left = NEW_ARRAY(arena, i64, echelon->rank + echelon->columns)};
        row.right = row.left + echelon->rank;
        row.right[s] = 1;
        row.support[s / 64] = (u64)1 << (s % 64);
        vec_push(arena, &farkas.rows, row);
    }
    u32 k = 0;
    for (u32 c = 0; c < echelon->columns; c++) {
        Row row = echelon->row_of[c];
        for (u32 i = 0; i < row.count; i++)
            farkas.rows.items[row.entries[i].column].left[k] = row.entries[i].value;
        k += row.count > 0;
    }
    bool *done = NEW_ARRAY(arena, bool, echelon->rank);
    for (u32 step = 0; step < echelon->rank; step++) {
        u32 column = farkas_pick(&farkas, done);
        done[column] = true;
        if (!farkas_clear(&farkas, column))
            return vectors;
    }
    for (u32 i = 0; i < farkas.rows.count; i++) {
        Row vector = {.entries = NEW_ARRAY(arena, Entry, echelon->columns)};
        for (u32 s = 0; s < echelon->columns; s++)
            if (farkas.rows.items[i].right[s] != 0)
                vector.entries[vector.count++] = (Entry){s, farkas.rows.items[i].right[s]};
        vec_push(arena, &vectors, vector);
    }
    if (vectors.count > 1)
        qsort(vectors.items, vectors.count, sizeof *vectors.items, compare_lengths);
    return vectors;
}

/* ---- Laws ------------------------------------------------------------------------------------ */

static int
compare_places(const void *a, const void *b)
{
    const Row *x = a, *y = b;
    for (u32 i = 0; i < x->count && i < y->count; i++)
        if (x->entries[i].column != y->entries[i].column)
            return x->entries[i].column < y->entries[i].column ? -1 : 1;
    return (x->count > y->count) - (x->count < y->count);
}

/* As many independent vectors as the null space has dimensions, those without negative entries
 * first. */
static RowList
choose_vectors(Echelon *echelon, RowList basis, Arena *arena)
{
    RowList friendly = farkas_vectors(echelon, arena), chosen = {0};
    if (friendly.count == 0)
        return basis;
    Echelon independent = echelon_new(arena, echelon->columns);
    for (u32 i = 0; i < friendly.count + basis.count && chosen.count < basis.count; i++) {
        Row vector = i < friendly.count ? friendly.items[i] : basis.items[i - friendly.count];
        if (echelon_add(&independent, vector))
            vec_push(arena, &chosen, vector);
    }
    return independent.failed ? basis : chosen;
}

static bool
laws_equal(const ConservationLaw *law, Row row)
{
    if (law->terms.count != row.count)
        return false;
    for (u32 i = 0; i < row.count; i++)
        if (law->terms.items[i].member != row.entries[i].column ||
            law->terms.items[i].coefficient != row.entries[i].value)
            return false;
    return true;
}

/* Stores the laws; returns whether they differ from those that were there. */
static bool
store_laws(Network *network, const RowList *vectors, bool skipped)
{
    bool same = network->laws_skipped == skipped && network->laws.count == vectors->count;
    for (u32 i = 0; i < vectors->count && same; i++)
        same = laws_equal(&network->laws.items[i], vectors->items[i]);
    if (same)
        return false;
    network->laws_skipped = skipped;
    network->laws.count = 0;
    for (u32 i = 0; i < vectors->count; i++) {
        ConservationLaw law = {0};
        for (u32 k = 0; k < vectors->items[i].count; k++) {
            Entry entry = vectors->items[i].entries[k];
            vec_push(network->arena, &law.terms, ((struct LawTerm){entry.column, entry.value}));
        }
        vec_push(network->arena, &network->laws, law);
    }
    return true;
}

bool
rxn__network_conserve(Network *network)
{
    Arena *scratch = &network->tables->scratch;
    RowList laws = {0};
    bool skipped = network->species_count > MAX_SPECIES || network->reaction_count > MAX_MEMBERS;
    if (!skipped) {
        RowSet changes = collect_changes(network, scratch);
        Echelon echelon = echelon_new(scratch, network->species_count);
        for (u32 i = 0; i < changes.rows.count && echelon.rank < echelon.columns; i++)
            echelon_add(&echelon, changes.rows.items[i]);
        echelon_reduce(&echelon);
        if (!echelon.failed)
            laws = null_space(&echelon);
        skipped = echelon.failed;
        if (!skipped && laws.count > 0)
            laws = choose_vectors(&echelon, laws, scratch);
    }
    if (skipped)
        laws.count = 0;
    else if (laws.count > 1)
        qsort(laws.items, laws.count, sizeof *laws.items, compare_places);
    bool changed = store_laws(network, &laws, skipped);
    rxn__arena_release(scratch);
    return changed;
}
