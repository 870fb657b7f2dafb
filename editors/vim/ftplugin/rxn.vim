" Models of stochastic reaction networks (rxn): comments, indentation, checking and formatting.
if exists('b:did_ftplugin')
  finish
endif
let b:did_ftplugin = 1

setlocal comments=:#
setlocal commentstring=#\ %s
setlocal formatoptions-=t formatoptions+=croql
setlocal expandtab shiftwidth=2 softtabstop=2
setlocal suffixesadd=.rxn
setlocal makeprg=rxn\ check\ --quiet\ %:S
setlocal errorformat=%f:%l:%c:\ %trror:\ %m,%f:%l:%c:\ %tarning:\ %m,%-G%.%#

" Lays out the buffer; a text that is no model stays as it is.
function! s:Format() abort
  let l:errors = tempname()
  let l:text = systemlist('rxn fmt - 2>' . shellescape(l:errors), getline(1, '$'))
  if v:shell_error
    echohl ErrorMsg
    for l:line in readfile(l:errors)
      echomsg l:line
    endfor
    echohl None
  else
    let l:view = winsaveview()
    call setline(1, l:text)
    silent! execute (len(l:text) + 1) . ',$delete _'
    call winrestview(l:view)
  endif
  call delete(l:errors)
endfunction

command! -buffer RxnFormat call s:Format()

let b:undo_ftplugin = 'setlocal comments< commentstring< formatoptions< expandtab< shiftwidth< softtabstop<'
      \ . ' suffixesadd< makeprg< errorformat< | delcommand -buffer RxnFormat'
