# saved, never looked at
    push rbx
    mov rbx, rdi
    mov rdi, rbx
    pop rbx
    mov eax, esi
    ret

# a register compared with itself, whatever it holds
    xor eax, eax
    xor ecx, ecx
    sub rdx, rdx
    mov eax, edx
    mov [rdi], eax                  ! memory
    ret

# a bit whose number has an upper half that is not to be looked at
    mov eax, [rdi]                  ! memory
    bt rax, rsi
    jae .end
    mov eax, 1
.end:
    ret

# the flag that a test of a bit, or a scan for one, sets
    bt esi, 1
    setb al
    bsf ecx, esi
    sete cl
    movzx eax, al
    ret

# flags of eight bytes, by everything that sets them
> function: binary
> cpu: x86-64-v3
    xor eax, eax
    sete al
    add rsi, rdx
    sete al
    adc rsi, rdx
    sete al
    inc rsi
    sete al
    neg rsi
    sete al
    shl rsi, 3
    sete al
    mov ecx, 3
    shl rsi, cl
    sete al
    shld rsi, rdx, cl
    sete al
    cmp rsi, rdx
    imul rsi, rdx
    sete al
    imul rsi
    sete al
    mov rax, rsi
    mul rdx
    setb cl
    mov rax, rsi
    cqo
    add rdx, rax
    bsf rcx, rdx
    sete cl
    mov rdx, rax
    mulx rcx, rax, rdx
    add rax, rcx
    ret

# flags that a reversal of bytes, whatever they are, leaves alone
    cmp esi, 1
    bswap r11
    sete al
    movzx eax, al
    ret

# flags that a test of a bit leaves alone
    cmp esi, 1
    bt esi, 1
    sete al
    movzx eax, al
    ret

# a carry that is added, or made a mask of
    bt esi, 1
    adc esi, esi
    cmp esi, 7
    sbb rcx, rcx
    mov eax, ecx
    ret

# a constant bit of memory
    mov eax, esi
    bt dword [rdi + rax], 3         ! memory
    setb al
    movzx eax, al
    ret

# half a number, shifted by another
    mov ecx, esi
    shl rsi, cl
    mov eax, esi
    ret

# a number whose low byte is another's
> function: binary
    mov rax, rsi
    mov al, dl
    ret
