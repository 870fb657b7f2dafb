/* api_fixture.h: what the tests of the library share. */
#ifndef RXN_API_FIXTURE_H
#define RXN_API_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "runtime/rxn.h"

static inline RxnModel *
parse(const char *text)
{
    RxnModel *model;
    RxnError *error;
    if (rxn_model_parse(text, NULL, &model, &error) != RXN_OK)
        fail_msg("%s", rxn_error_text(error));
    return model;
}

static inline RxnValues *
own_values(RxnModel *model)
{
    RxnValues *values;
    assert_int_equal(rxn_values_new(model, 1, &values, NULL), RXN_OK);
    return values;
}

static inline void
check_error(RxnStatus got, RxnStatus wanted, RxnError *error, const char *text)
{
    assert_int_equal(got, wanted);
    assert_non_null(error);
    assert_int_equal(rxn_error_status(error), wanted);
    assert_string_equal(rxn_error_text(error), text);
    rxn_error_free(error);
}

/* The call fails with this status, and its error's text is this. */
#define expect_error(call, wanted, error, text)                                                    \
    do {                                                                                           \
        RxnStatus got_ = (call);                                                                   \
        check_error(got_, wanted, error, text);                                                    \
    } while (0)

#endif
