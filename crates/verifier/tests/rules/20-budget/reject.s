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

# many ways to one place, with the deepest frame
> refused: takes too long
    .enter 0x3f00000
    mov [rsp], esi
    test esi, esi
.times 4000
    nop
.end
.times 100
    je .end
.end
.end:
    mov eax, esi
    .leave 0x3f00000

# many places, with the deepest frame
> refused: takes too long
    .enter 0x3f00000
    mov [rsp], esi
    test esi, esi
.times 50000
    nop
.end
.times 20
    je .again{n}
.again{n}:
.end
    mov eax, esi
    .leave 0x3f00000

# calls, each after the deepest place of the frame was written
> refused: takes too long
    .enter 0x3f00008
    add rsp, 0x3eff000
    mov [rsp], rdi
.times 40
    sub rsp, 0x3eff000
    mov [rsp], eax
    add rsp, 0x3eff000
    mov rdi, [rsp]
    mov esi, 1
    call @other
.end
    add rsp, 0x1000
    .leave 8
