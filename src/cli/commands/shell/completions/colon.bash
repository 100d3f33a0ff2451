
# bash parts words at a colon, and here it is a part of names such as os:alp.
_imk_complete() {
    local at word after_colon=false cword=0
    local -a words=()
    for at in "${!COMP_WORDS[@]}"; do
        word=${COMP_WORDS[at]}
        if [[ ${#words[@]} -gt 1 && ( $word == : || $after_colon == true ) ]]; then
            words[${#words[@]}-1]+=$word
        else
            words+=("$word")
        fi
        if [[ $word == : ]]; then after_colon=true; else after_colon=false; fi
        if [[ $at -eq $COMP_CWORD ]]; then cword=$((${#words[@]} - 1)); fi
    done
    local -a COMP_WORDS=("${words[@]}")
    local COMP_CWORD=$cword
    local current=${COMP_WORDS[COMP_CWORD]}
    if [[ $current != *:* ]]; then current=$2; fi
    _clap_complete_imk "$1" "$current" "$3"
    if [[ $current == *:* && $COMP_WORDBREAKS == *:* ]]; then
        COMPREPLY=("${COMPREPLY[@]#"${current%:*}:"}")
    fi
}
if [[ ${BASH_VERSINFO[0]} -eq 4 && ${BASH_VERSINFO[1]} -ge 4 || ${BASH_VERSINFO[0]} -gt 4 ]]; then
    complete -o nospace -o bashdefault -o nosort -F _imk_complete imk
else
    complete -o nospace -o bashdefault -F _imk_complete imk
fi
