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

# one that is deeper, of which nothing is touched
> refused: frame is too large
    .enter 0x4000008
    mov eax, esi
    .leave 0x4000008

# one that is deeper by what is pushed
> refused: frame is too large
    mov rax, [rdi + stack_limit]
    add rax, 0x4000008
    cmp rsp, rax
    jb .deep
    sub rsp, 0x4000000
    push rsi
    pop rax
    mov eax, esi
    .leave 0x4000000

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

# a loop that learns a little of one slot each round, with calls that return a thousand results
> refused: takes too long
    .enter 0x2208
    mov [rsp + 0x2200], rdi
    xor eax, eax
.times 20
    mov [rsp + {n*8+8192}], rax
.end
.again:
    mov rax, [rsp + 8344]
    add rax, 1
.times 19
    mov rcx, [rsp + {n*-8+8336}]
    mov [rsp + {n*-8+8344}], rcx
.end
    mov [rsp + 8192], rax
.times 50
    mov rsi, [rsp + 0x2200]
    mov rdi, rsp
    call @thousand
.end
    sub r10d, 1
    jne .again
    mov eax, r10d
    .leave 0x2208

# the same with ends that return a thousand results each
> function: thousand
> refused: takes too long
    sub rsp, 168
    pxor xmm0, xmm0
.times 496
    movups [rdi + {n*16}], xmm0
.end
    xor eax, eax
    mov ecx, eax
    mov edx, eax
    mov edi, eax
    mov esi, eax
    mov r8d, eax
    mov r9d, eax
    mov r10d, eax
.times 20
    mov [rsp + {n*8}], rax
.end
    jmp .again
.times 60
.out{n}:
    add rsp, 168
    ret
.end
.again:
    mov rax, [rsp + 152]
    add rax, 1
.times 19
    mov rcx, [rsp + {n*-8+144}]
    mov [rsp + {n*-8+152}], rcx
.end
    mov [rsp], rax
.times 60
    test ecx, ecx
    je .out{n}
.end
    jmp .again

# the same with calls of the host that pass a thousand values
> function: long_thunk
> refused: takes too long
    mov rax, [rdi + stack_limit]
    add rax, 0x4208
    cmp rsp, rax
    jb .deep
    sub rsp, 0x4208
    mov [rsp + 0x4200], rdi
    xor eax, eax
.times 1000
    mov [rsp + {n*16}], rax
.end
.times 60
    mov [rsp + {n*8+16000}], rax
.end
.again:
    mov rax, [rsp + 16472]
    add rax, 1
.times 59
    mov rcx, [rsp + {n*-8+16464}]
    mov [rsp + {n*-8+16472}], rcx
.end
    mov [rsp + 16000], rax
.times 50
    mov rdi, [rsp + 0x4200]
    mov rsi, import_of_a_thousand
    mov rdx, rsp
    call [rdi + host_call]
.end
    jmp .again
.deep:
    ud2                             ! stack
