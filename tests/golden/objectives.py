"""Wrong objectives: name -> arguments of `rxn grad`, run from within objectives/. The model is model.rxn
where no other one is named."""


def of(*texts, at="2"):
    arguments = [part for text in texts for part in ("--of", text)]
    return arguments + (["--at", at] if at else [])


OBJECTIVES = {
    # What is no expression.
    "empty": of(""),
    "two_words": of("X Y"),
    "comma": of("X, Y"),
    "semicolon": of("X; Y"),
    "assignment": of("X = 3"),
    "never_closed": of("var(X"),
    "statement": of("species"),
    "arrow": of("X -> Y"),
    "second_of_two": of("X", "X +", "Y"),
    "stray": of("X × Y"),
    "parentheses_100000_deep": of("(" * 60000 + "X"),
    # Names.
    "unknown_name": of("Z"),
    "near_observable": of("sum3"),
    "near_function": of("maen(X)"),
    "unknown_function": of("wurst(X)"),
    "function_bare": of("mean"),
    "array_bare": of("H"),
    "array_out_of_range": of("H[3]"),
    "observable_with_index": of("sum2[1]"),
    "observed_array_bare": of("all + 1"),
    "model_has_function": ["own_mean.rxn", *of("mean(X)")],
    "wrong_model": ["wrong.rxn", *of("mean(mean(X))")],
    # Types and numbers of arguments.
    "condition": of("X > 3"),
    "condition_in_mean": of("mean(X > 3)"),
    "number_in_passage": of("passage(X)"),
    "at_one_argument": of("at(X)"),
    "integral_two_arguments": of("integral(X, 3)"),
    "total_two_arguments": of("total(X, 1)"),
    "passage_no_argument": of("passage()"),
    "mean_two_arguments": of("mean(X, Y)"),
    "cov_one_argument": of("cov(X)"),
    "named_argument": of("at(X, time = 2)"),
    # What may stand where.
    "outside": of("mean(X) + Y"),
    "outside_let": of("mean(X) + both"),
    "outside_observable": of("mean(X)*sum2"),
    "outside_function": of("mean(X) + plus_x(2)"),
    "outside_reading": of("mean(X) + integral(Y)"),
    "mean_of_mean": of("mean(X*mean(Y))"),
    "mean_in_var": of("var(X - mean(X))"),
    "mean_in_at": of("at(mean(X), 2)"),
    "at_in_at": of("at(at(X, 1)*Y, 2)"),
    "passage_in_integral": of("integral(passage(X > 3))"),
    "time_in_integral": of("integral(X*t)"),
    "time_in_passage": of("passage(X > 3 and t > 1)"),
    "reads_nothing": of("at(k, 2)"),
    "passage_of_nothing": of("passage(k > 2)"),
    "nothing_to_estimate": of("k + t"),
    "index_of_state": of("H[X]"),
    # Times.
    "at_needed": of("X", at=None),
    "at_needed_for_span": of("mean(integral(X))", at=None),
    "at_negative": of("X", at="-1"),
    "time_of_param": of("at(X, k)"),
    "time_of_state": of("at(X, Y)"),
    "time_of_mean": of("at(X, mean(Y))"),
    "time_negative": of("at(X, -1)"),
    "time_infinite": of("at(X, exp(1000))"),
    "time_undefined": of("at(X, log(-1))"),
    "span_backwards": of("integral(X, 3, N - 1)"),
    "span_empty_at_zero": of("average(X)", at="0"),
    "passage_until_zero": of("passage(X > 3, 0)"),
    "grid_backwards": of("total(X, 3, 2, 1)"),
    "grid_no_step": of("total(X, 0, 2, 0)"),
    "grid_too_long": of("total(X, 0, 1e300, 1e-300)"),
    "grid_one_too_many": of("total(X, 0, 100000, 1)"),
    # Too much.
    "long_sum": of("sum(i in 0 .. 10000: at(X, i))"),
    "long_sum_of_sums": of("sum(i in 0 .. 999: sum(j in 0 .. 99: at(X, 1)))"),
    "long_function": of("sum(i in 0 .. 999999: X*at(Y, 1))"),
    "many_readings": of("sum(i in 0 .. 20: total(X, i/100, 90000, 1))"),
}
