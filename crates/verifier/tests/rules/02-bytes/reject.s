# a branch into the middle of an instruction that is executed too
> refused: starts inside this one
    test esi, esi
    jne .inside
    bytes b8            ; mov eax, ...
.inside:
    bytes 90 90 90 90
    mov eax, esi
    ret

# code that nothing leads to, between code
> refused: nothing leads to these bytes
    jmp .end
    syscall
.end:
    mov eax, esi
    ret

# code that is read as a constant
> refused: read as data here is code
.code:
    mov eax, esi
    mov eax, [.code]
    ret

# a constant that is executed
> refused: the middle of another instruction, or data
    mov eax, [.code]
.code:
    mov eax, esi
    mov eax, esi
    ret

# a jump that nothing leads to and that leads to nothing known
> refused: nothing leads to these bytes
    jmp .end
    jmp .hidden
.end:
    mov eax, esi
    ret
.hidden:
    syscall

# a function without code
> refused: no code

# bytes that might be a jump table's entry, if there were one before them
> refused: nothing leads to these bytes
    jmp .end
    bytes 0f 05 90 90
    jmp .end
.end:
    mov eax, esi
    ret
