# The README's picture, from the demo's scores: gnuplot -e "scores='build/demo/scores.csv'" docs/images/demo.gp
set datafile separator ','
set datafile columnheaders
set terminal pngcairo size 1200,480 font 'DejaVu Sans,12'
set output 'docs/images/demo.png'
set multiplot layout 1,2
set grid lc rgb '#dddddd'
set border 3
set tics nomirror
set xlabel 'velocity of the rail, mm/s'
set xrange [20:780]
set key top left Left reverse

set title 'Anomaly score of each test clip'
set ylabel 'spreads above normal at the speed that is heard'
set key top right Right noreverse
plot scores using 'velocity_mm_s':(column('label') == 0 ? column('score') : 1/0) with points pt 7 ps 1.1 lc rgb '#0072b2' title 'normal', \
     scores using 'velocity_mm_s':(column('label') == 1 ? column('score') : 1/0) with points pt 9 ps 1.3 lc rgb '#d55e00' title 'anomalous'

set key top left Left reverse
set title 'What zd says of the velocity, normal clips'
set ylabel 'estimated velocity, mm/s'
set yrange [20:780]
seen(v) = int(v) % 100 == 0
plot x with lines lc rgb '#888888' notitle, \
     scores using 'velocity_mm_s':(column('label') == 0 && seen(column('velocity_mm_s')) ? column('estimate_velocity_mm_s') : 1/0) with points pt 7 ps 1.1 lc rgb '#0072b2' title 'velocity seen in training', \
     scores using 'velocity_mm_s':(column('label') == 0 && !seen(column('velocity_mm_s')) ? column('estimate_velocity_mm_s') : 1/0) with points pt 6 ps 1.4 lw 1.5 lc rgb '#009e73' title 'never seen'
unset multiplot
