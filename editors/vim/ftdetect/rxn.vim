autocmd BufNewFile,BufRead *.rxn setfiletype rxn
