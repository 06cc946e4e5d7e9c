//! Every operator goes first to the validator, then, if it is reachable, to the translator's method of
//! the same name. Control operators are translated even where they are not reachable: they nest.

use wasmparser::{
    FrameKind, FrameStack, FuncValidator, ValidatorResources, VisitOperator, VisitSimdOperator,
    for_each_visit_operator, for_each_visit_simd_operator,
};

use super::{TranslateError, Translator, meter};

/// Visits one operator.
pub(super) struct Dispatch<'d, 'm, 'b> {
    pub(super) validator: &'d mut FuncValidator<ValidatorResources>,
    pub(super) translator: &'d mut Translator<'m, 'b>,
    /// Where the operator stands in the binary.
    pub(super) offset: u64,
}

impl FrameStack for Dispatch<'_, '_, '_> {
    fn current_frame(&self) -> Option<FrameKind> {
        self.validator.get_control_frame(0).map(|frame| frame.kind)
    }
}

macro_rules! visits {
    ($(@$proposal:ident $op:ident $({ $($arg:ident: $argty:ty),* })? => $visit:ident ($($ann:tt)*))*) => {$(
        #[inline]
        fn $visit(&mut self $($(, $arg: $argty)*)?) -> Self::Output {
            self.validator.simd_visitor(self.offset).$visit($($($arg.clone()),*)?)?;
            visits!(@translate $proposal self $visit ($($($arg),*)?))
        }
    )*};

    (@translate mvp $self:ident visit_block $args:tt) => { visits!(@always $self visit_block $args) };
    (@translate mvp $self:ident visit_loop $args:tt) => { visits!(@always $self visit_loop $args) };
    (@translate mvp $self:ident visit_if $args:tt) => { visits!(@always $self visit_if $args) };
    (@translate mvp $self:ident visit_else $args:tt) => { visits!(@always $self visit_else $args) };
    (@translate mvp $self:ident visit_end $args:tt) => { visits!(@always $self visit_end $args) };
    (@translate mvp $($rest:tt)*) => { visits!(@reachable $($rest)*) };
    (@translate sign_extension $($rest:tt)*) => { visits!(@reachable $($rest)*) };
    (@translate saturating_float_to_int $($rest:tt)*) => { visits!(@reachable $($rest)*) };
    (@translate bulk_memory $($rest:tt)*) => { visits!(@reachable $($rest)*) };
    (@translate reference_types $($rest:tt)*) => { visits!(@reachable $($rest)*) };
    (@translate tail_call $($rest:tt)*) => { visits!(@reachable $($rest)*) };
    (@translate simd $($rest:tt)*) => { visits!(@reachable $($rest)*) };
    (@translate relaxed_simd $($rest:tt)*) => { visits!(@reachable $($rest)*) };
    (@translate $proposal:ident $self:ident $visit:ident ($($arg:ident),*)) => {{
        $(let _ = $arg;)*
        Err(TranslateError::Operator { name: &stringify!($visit)["visit_".len()..], offset: $self.offset })
    }};

    (@always $self:ident $visit:ident ($($arg:ident),*)) => {{
        $self.translator.$visit($($arg),*);
        Ok(())
    }};
    (@reachable $self:ident $visit:ident ($($arg:ident),*)) => {{
        if $self.translator.reachable {
            const MAY_TRAP: bool = meter::may_trap(stringify!($visit));
            $self.translator.count_operator(MAY_TRAP);
            $self.translator.$visit($($arg),*);
        }
        Ok(())
    }};
}

impl<'a> VisitOperator<'a> for Dispatch<'_, '_, '_> {
    type Output = Result<(), TranslateError>;

    fn simd_visitor(&mut self) -> Option<&mut dyn VisitSimdOperator<'a, Output = Self::Output>> {
        Some(self)
    }

    for_each_visit_operator!(visits);
}

impl<'a> VisitSimdOperator<'a> for Dispatch<'_, '_, '_> {
    for_each_visit_simd_operator!(visits);
}
