# Data of both halves and the model that was fitted to one of them: a row for each split, a column for each statistic.
# Wants: name, rows ("real-samples real-blocks …", folders), count.
set terminal svg size 1150, 60 + 260 * count font "sans,11" background "white"
set output name . ".svg"
set datafile separator ","
columns = name eq "five" ? 3 : 4
set multiplot layout count, columns
set tics nomirror
set border 3
set key top right
set lmargin 7
statistics = "autocovariance amplitude opened closed"
unit = "lag/ms current time/ms time/ms"
do for [folder in rows] {
    do for [c = 1:columns] {
        what = word(statistics, c)
        set title folder . ": " . what noenhanced
        set xlabel word(unit, c) offset 0, 0.5
        unset logscale
        set yrange [*:*]
        if (c > 2) { set logscale y; set yrange [0.003:1] }
        if (name eq "one" && c == 1) { set logscale x }
        file = folder . "/curve_" . what . ".csv"
        plot file using 1:2 skip 1 with points pt 7 ps 0.35 lc rgb "#1f77b4" title "fitted", \
             file using 1:3 skip 1 with points pt 6 ps 0.45 lc rgb "#ff7f0e" title "held out", \
             file using 1:4 skip 1 with lines lw 1.5 lc rgb "black" title "model"
    }
}
unset multiplot
