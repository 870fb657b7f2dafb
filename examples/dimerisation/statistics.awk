# From `rxn run --each` of single trajectories (trajectory,time,D; a row every tenth of a second) to the table that single.rxn is
# fitted to: at 1, 2, … 19 s, and for all that comes after 20 s together, the mean of D and the mean square of
# its change over the next tenth of a second, each with its standard error over the trajectories.
#
# Trajectories are independent; what one of them shows later on is not: there the error is that of the mean of as many
# numbers as there are trajectories.
BEGIN {
    FS = ","
    stationary = 20
    trajectory = -1
    print "at,D,D_error,change,change_error"
}

function add(row, trajectory, value, change) {
    count[row, trajectory]++
    level[row, trajectory] += value
    square[row, trajectory] += change * change
    if (row > last)
        last = row
}

FNR > 1 {
    if ($1 == trajectory) {
        whole = int(time + 0.5)
        if (time >= stationary - 1e-6)
            add(stationary, trajectory, value, $3 - value)
        else if (whole > 0 && time - whole < 1e-6 && whole - time < 1e-6)
            add(whole, trajectory, value, $3 - value)
    } else {
        trajectories++
    }
    trajectory = $1
    time = $2
    value = $3
}

# Mean and standard error over trajectories of sums[row, …] / count[row, …].
function summarise(sums, row,    k, mean, m2, x) {
    mean = 0
    m2 = 0
    for (k = 0; k < trajectories; k++) {
        x = sums[row, k] / count[row, k]
        m2 += (x - mean) * (x - mean) * k / (k + 1)
        mean += (x - mean) / (k + 1)
    }
    if (m2 == 0) # all alike, of so few: they might have differed by one in one of them
        m2 = 1 / trajectories
    return sprintf("%.10g,%.6g", mean, sqrt(m2 / (trajectories - 1) / trajectories))
}

END {
    for (row = 1; row <= last; row++)
        printf "%g,%s,%s\n", (row == stationary ? 50 : row), summarise(level, row), summarise(square, row)
}
