# a loop that moves numbers through a few slots
    sub rsp, 80
    mov eax, esi
.times 8
    mov [rsp + {n*8}], rax
.end
.again:
.times 7
    mov rax, [rsp + {n*8}]
    mov [rsp + {n*8+8}], rax
.end
    sub esi, 1
    jne .again
    mov eax, esi
    add rsp, 80
    ret

# the deepest frame, whose first byte is looked at
    .enter 0x4000000
.times 4000
    nop
.end
    mov eax, [rsp]
    mov eax, esi
    .leave 0x4000000

# a loop that counts
    xor eax, eax
.again:
    add eax, 1
    cmp eax, esi
    jne .again
    ret

# calls that return a thousand results
    .enter 0x2008
    mov [rsp + 0x2000], rdi
.times 50
    mov rsi, [rsp + 0x2000]
    mov rdi, rsp
    call @thousand
.end
    mov eax, r10d
    .leave 0x2008
