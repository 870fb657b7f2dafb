" Models of stochastic reaction networks (rxn).
if exists('b:current_syntax')
  finish
endif

syntax case match
" Names go on with letters of any script, digits, primes and indices.
syntax iskeyword @,48-57,_,39,192-255

" What no model holds.
syntax match rxnError "&&\|||\|!=\@!\|\*\*\|//\|[-+*/]=\|[$%&?\\|`]"
syntax match rxnError +"[^"]*$+

" Names and numbers first: what is more special is matched later and wins.
syntax match rxnName "\%(\h\|[^\x00-\x7F∅]\)\%(\w\|'\|[^\x00-\x7F]\)*\%(\.\%(\h\|[^\x00-\x7F]\)\%(\w\|'\|[^\x00-\x7F]\)*\)*"
syntax match rxnNumber "\%(\w\|'\)\@1<!\d\%(_\=\d\)*\%(\.\%(\.\)\@!\%(\d\%(_\=\d\)*\)\=\)\=\%([eE][+-]\=\d\+\)\="
syntax match rxnNumber "\%(\w\|[.']\)\@1<!\.\d\%(_\=\d\)*\%([eE][+-]\=\d\+\)\="

syntax match rxnOperator "[-+*/^<>=~]\|[<>=!]=\|\.\."
syntax match rxnArrow "<->\|->\|=>"
syntax match rxnRate "@"
syntax match rxnNothing "∅"
syntax match rxnTime "\%(\w\|[.']\)\@1<!t\%(\w\|[.']\)\@!"

syntax keyword rxnOperatorWord and in not or
syntax keyword rxnConditional else if then
syntax keyword rxnClause until
syntax keyword rxnReduction prod sum
syntax keyword rxnBoolean false true
" Words of clauses, which are names where no clause can begin.
syntax match rxnClause "\<\%(as\|at\|bound\|every\|from\)\>\ze\s\+\%(\w\|[(."]\|-[^>]\|[^\x00-\x7F]\)"
syntax match rxnClause "\<fit\>\ze\s*\%($\|[#,;}=~]\|in\>\|fit\>\)"

syntax match rxnFunction "\<\%(exp\|log\|log1p\|expm1\|sqrt\|pow\|min\|max\|abs\|floor\|ceil\|sin\|cos\|tan\|tanh\|sigmoid\|softplus\|hill\)\>\ze\s*("
syntax match rxnExpectation "\<\%(at\|integral\|average\|total\|passage\|mean\|var\|sd\|cov\|probability\|autocov\)\>\ze\s*("
syntax match rxnLoss "\<\%(mse\|mae\|gaussian\|cramer\|chi_square\|cross_entropy\|accuracy\)\>\ze\s*("
syntax match rxnDistribution "\%(\~\s*\)\@20<=\<\%(normal\|lognormal\|uniform\)\>"

" At the start of a statement.
syntax match rxnLabel "\%(^\|[;{]\)\@1<=\s*\zs\%(\h\|[^\x00-\x7F∅]\)\%(\w\|'\|[^\x00-\x7F]\)*\ze\s*:"
syntax match rxnEntry "\%(^\|[;{]\)\@1<=\s*\zs\<\%(data\|loss\|measure\|penalty\|prior\|log\|linear\|estimator\|optimizer\|schedule\|clip\|trajectories\|steps\|batch\|epochs\|noise\|tolerance\|patience\|average\|starts\|seed\|experiment\|validation\)\>\ze\s\+\%(\w\|[("{.]\|-[^>]\|[^\x00-\x7F]\)"
syntax match rxnChoice "\%(\<\%(estimator\|optimizer\|schedule\)\s\+\)\@40<=\<\%(auto\|path\|gumbel\|propensity\|score\|martingale\|coupled\|gk\|exact\|adam\|adamw\|sgd\|lbfgs\|gauss_newton\|constant\|cosine\|exponential\|step\)\>"
syntax match rxnDeclaration "\%(^\|[;{]\)\@1<=\s*\zs\<\%(model\|use\|const\|index\|param\|species\|input\|let\|fn\)\>\ze\s*\%($\|\s\w\|["]\|\s[^\x00-\x7F]\)"
syntax match rxnStatement "\%(^\|[;{]\)\@1<=\s*\zs\<\%(for\|at\|every\|when\|observe\|simulate\|fit\)\>\ze\s*\%($\|\s\w\|\s\=[({]\|\s[.]\|\s-[^>]\|\s[^\x00-\x7F]\)"

syntax match rxnString +"[^"]*"+
syntax match rxnComment "#.*$" contains=@Spell

highlight default link rxnError Error
highlight default link rxnName Identifier
highlight default link rxnNumber Number
highlight default link rxnOperator Operator
highlight default link rxnArrow Special
highlight default link rxnRate Special
highlight default link rxnNothing Constant
highlight default link rxnTime Constant
highlight default link rxnOperatorWord Operator
highlight default link rxnConditional Conditional
highlight default link rxnClause Keyword
highlight default link rxnReduction Function
highlight default link rxnBoolean Boolean
highlight default link rxnFunction Function
highlight default link rxnExpectation Function
highlight default link rxnLoss Function
highlight default link rxnDistribution Function
highlight default link rxnLabel Label
highlight default link rxnEntry Keyword
highlight default link rxnChoice Constant
highlight default link rxnDeclaration Type
highlight default link rxnStatement Statement
highlight default link rxnString String
highlight default link rxnComment Comment

let b:current_syntax = 'rxn'
