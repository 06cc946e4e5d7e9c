# a function that only returns
    mov eax, esi
    ret

# padding after it is breakpoints
> byte after it: cc
    mov eax, esi
    ret
