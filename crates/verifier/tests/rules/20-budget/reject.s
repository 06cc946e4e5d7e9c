# a loop in which each round learns a little of one slot
> refused: takes too long
    mov rax, [rdi + stack_limit]
    add rax, 0x3000
    cmp rsp, rax
    jb .deep
    sub rsp, 0x1800
    xor eax, eax
.times 600
    mov [rsp + {n*8}], rax
.end
.again:
    mov rax, [rsp + 4792]
    add rax, 1
.times 599
    mov rcx, [rsp + {n*-8+4784}]
    mov [rsp + {n*-8+4792}], rcx
.end
    mov [rsp], rax
    sub esi, 1
    jne .again
    mov eax, esi
    add rsp, 0x1800
    ret
.deep:
    ud2                             ! stack

# one that is deeper
> refused: frame is too large
    .enter 0x4000008
    mov eax, [rsp]
    mov eax, esi
    .leave 0x4000008
